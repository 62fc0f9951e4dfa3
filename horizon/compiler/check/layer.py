"""The closed-form time of a whole layer: the timing model applied to one instruction.

The time of a layer with other channels, another kernel or another type is found in the same way:
the instruction is changed and timed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from horizon.compiler.geometry import Box, box_of, instruction_fields
from horizon.compiler.instructions import opcode_of
from horizon.compiler.layout import PlacedGraph
from horizon.compiler.plan import Plan
from horizon.compiler.schedule import ORIGIN, tile_boxes
from horizon.compiler.tasks import Task, weight_layout
from horizon.compiler.tiling import Tiling
from horizon.hbir.graph import Graph
from horizon.hbm.records import (
    UNIT_OF,
    DataType,
    Instruction,
    Opcode,
    Quad,
    Space,
    View,
    WeightLayout,
)
from horizon.hbm.weights import layout_for, packed_bytes, weight_shape
from horizon.march import Array, Machine
from horizon.perf import work
from horizon.perf.cost import Costs, bandwidth


@dataclass(frozen=True)
class Moved:
    """Bytes that loads and stores move for one operand of a layer.

    Attributes:
        total: all bytes moved.
        once: bytes if each part is moved once; more than ``whole`` if tiles overlap.
        whole: bytes of the operand itself.
    """

    total: int
    once: int
    whole: int


@dataclass(frozen=True)
class Layer:
    """A task of the compiled graph and its costs on a machine.

    Attributes:
        instruction: an instruction that computes the whole task; for a copy, the copy.
        compute: seconds on its unit, in closed form; 0 if the machine lacks the unit.
        moved: bytes loaded and stored, by operand; empty without a plan.
        tiling: None without a plan, and for a task that is one copy.
        transfer: seconds of the DDR for ``moved``.
    """

    task: Task
    instruction: Instruction
    compute: float
    moved: Mapping[str, Moved]
    tiling: Tiling | None
    transfer: float

    @property
    def nbytes(self) -> int:
        return sum(moved.total for moved in self.moved.values())


class Pricing:
    """Times of layers on one machine, with all cores at work."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.bytes_per_second = bandwidth(machine, machine.cores)
        self._costs = Costs(machine, machine.cores)

    def compute(self, instruction: Instruction) -> float:
        """Seconds of a computing instruction, startup included; 0 if its unit is missing."""
        if instruction.unit.name not in self.machine.units:
            return 0.0
        return self._costs.of(instruction).busy

    def array(self, instruction: Instruction) -> Array | None:
        """The array that multiplies; None without products or without a tensor unit."""
        name = work.array_of(instruction)
        if name is None or self.machine.tensor is None:
            return None
        return self.machine.tensor.array(name)

    def filled(self, layer: Layer, share: float) -> float:
        """Seconds that a layer would take if it filled the whole array, not just ``share`` of it.

        Not less than the time of its operands in SRAM."""
        machine = self.machine
        cycles = work.touched(layer.instruction) / machine.sram_bytes_per_cycle
        return max(layer.compute * share, cycles / machine.workers / machine.clock_hz)

    def together(self, compute: float, transfer: float) -> float:
        """Seconds of computation and transfers: their sum if units take turns, else the longer."""
        return compute + transfer if self.machine.sequential else max(compute, transfer)

    def seconds(self, layer: Layer) -> float:
        return self.together(layer.compute, layer.transfer)

    def saved(self, layer: Layer, compute: float | None = None, nbytes: int | None = None) -> float:
        """Seconds that the layer would save with another computation time, or fewer bytes."""
        after = layer.compute if compute is None else compute
        transfer = layer.transfer if nbytes is None else nbytes / self.bytes_per_second
        return max(self.seconds(layer) - self.together(after, transfer), 0.0)


def price_layers(
    placed: PlacedGraph, tasks: Sequence[Task], pricing: Pricing, plan: Plan | None
) -> list[Layer]:
    """Every task with its costs, and with the transfers of ``plan``."""
    layers = []
    for index, task in enumerate(tasks):
        tiling = plan.tilings[index] if plan else None
        moved = _moved(placed, task, plan, tiling) if plan else {}
        inside = plan is not None and all(
            plan.spaces[operand.place.buffer] is Space.sram for operand in task.operands.values()
        )
        instruction = whole_instruction(placed.graph, task)
        compute = 0.0
        if not task.is_copy or inside:
            compute = pricing.compute(instruction)
        nbytes = sum(one.total for one in moved.values())
        transfer = nbytes / pricing.bytes_per_second
        layers.append(Layer(task, instruction, compute, moved, tiling, transfer))
    return layers


def whole_instruction(graph: Graph, task: Task) -> Instruction:
    """An instruction that costs as much as computing the whole task at once."""
    out, a, b = (
        _view(operand.shape, DataType[graph.tensors[operand.tensor].dtype]) if operand else None
        for operand in (task.out, task.a, task.b)
    )
    assert out is not None
    assert a is not None
    opcode = Opcode.copy if task.is_copy else opcode_of(task.computed)
    whole = Instruction(opcode, UNIT_OF[opcode], task.layer, (), out, a, b)
    if task.is_copy:
        return whole
    boxes = {name: Box(ORIGIN, operand.shape) for name, operand in task.operands.items()}
    whole = replace(whole, **instruction_fields(task, boxes))
    if not task.weighted:
        return whole
    layout = weight_layout(task.computed, graph.tensors[task.a.tensor].dtype)
    return with_weights(replace(whole, weight_layout=layout))


def with_weights(conv: Instruction) -> Instruction:
    """The same convolution, with weights that fit its changed operands and kernel."""
    if conv.weight_layout is not WeightLayout.depthwise:
        conv = replace(conv, weight_layout=layout_for(conv.out.shape[3], conv.a.dtype))
    size = packed_bytes(weight_shape(conv), conv.weight_layout)
    return replace(conv, weight=_view((1, 1, 1, size), DataType.int8))


def with_channels(
    conv: Instruction, inputs: int | None = None, outputs: int | None = None
) -> Instruction:
    """The same convolution or correlation with other numbers of channels."""
    a, out, b = conv.a, conv.out, conv.b
    if inputs is not None:
        a = _view((*a.shape[:3], inputs), a.dtype)
        if conv.weight is None and b is not None:
            b = _view((*b.shape[:3], inputs), b.dtype)
    if outputs is not None:
        out = _view((*out.shape[:3], outputs), out.dtype)
    changed = replace(conv, a=a, out=out, b=b)
    return with_weights(changed) if conv.weight is not None else changed


def _view(shape: Quad, dtype: DataType) -> View:
    _, height, width, channels = shape
    pixel = channels * dtype.size
    return View(
        Space.sram, dtype, shape, (height * width * pixel, width * pixel, pixel, dtype.size), 0
    )


def _moved(placed: PlacedGraph, task: Task, plan: Plan, tiling: Tiling | None) -> dict[str, Moved]:
    """The bytes that the schedule of this tiling loads and stores, by operand."""
    sizes = {
        name: DataType[placed.graph.tensors[operand.tensor].dtype].size
        for name, operand in task.operands.items()
    }
    if tiling is None:
        sides = [plan.spaces[operand.place.buffer] for operand in task.operands.values()]
        whole = _volume(task.out.shape) * sizes["out"]
        inside = all(space is Space.sram for space in sides)
        return {} if inside else {"out": Moved(whole, whole, whole)}
    held: dict[str, object] = {}
    total = dict.fromkeys(tiling.slots, 0)
    seen: dict[str, dict[object, int]] = {name: {} for name in tiling.slots}
    for out in tile_boxes(task.out.shape, tiling):
        for name in tiling.slots:
            if name == "weight":
                box: object = out.start[3]
                nbytes = _weight_bytes(placed.graph, task, out.shape[3])
            else:
                part = box_of(task, name, out)
                box, nbytes = part, _volume(part.shape) * sizes[name]
            seen[name][box] = nbytes
            if held.get(name) != box:
                held[name] = box
                total[name] += nbytes
    moved = {}
    for name in tiling.slots:
        once = sum(seen[name].values())
        whole = once if name == "weight" else _volume(task.operands[name].shape) * sizes[name]
        moved[name] = Moved(total[name], once, whole)
    if task.is_copy:
        # A copy is loaded into its slot and stored from there.
        moved["out"] = moved["a"]
    return moved


def _weight_bytes(graph: Graph, task: Task, outputs: int) -> int:
    _, *kernel = task.computed.attributes["weight"].shape
    layout = weight_layout(task.computed, graph.tensors[task.a.tensor].dtype)
    return packed_bytes((outputs, *kernel), layout)


def _volume(shape: Quad) -> int:
    n, height, width, channels = shape
    return n * height * width * channels
