"""The list of operations: for each tile of each task, its loads, computation and store.

With double buffering, a tile's loads precede the computation of the previous tile in the list, so
that both can run at the same time. If the plan prefetches, the first loads of a task precede the
last tile of the previous task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from horizon.compiler.constants import Constants
from horizon.compiler.geometry import Box, box_of
from horizon.compiler.instructions import opcode_of, parameters
from horizon.compiler.job import Job
from horizon.compiler.plan import Plan, slot_name
from horizon.compiler.tasks import Operand, weight_layout
from horizon.compiler.tiling import Tiling
from horizon.hbm.records import DataType, Opcode, Quad, Space, View
from horizon.hbm.weights import packed_bytes

ORIGIN: Quad = (0, 0, 0, 0)


@dataclass(frozen=True)
class Access:
    """One operand of an operation.

    Attributes:
        block: the buffer or slot; None for constants.
        view: with an offset from the block's start (from the constants' start for constants).
        at: (n, y, x, c) of the first element in a buffer; None in a slot, which is used as a whole.
        tensor, start: the tensor of which the view shows a part, and the part's first element.
    """

    block: str | None
    view: View
    at: Quad | None
    tensor: str
    start: Quad


@dataclass(frozen=True)
class Operation:
    """An instruction whose operands refer to memory by names instead of addresses.

    Attributes:
        operands: by "out", "a", "b", "weight".
        parameters: the further fields of the instruction.
    """

    opcode: Opcode
    layer: str
    operands: dict[str, Access]
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Tile:
    """A tile: its loads by operand, and the operations that need them.

    ``early`` names the loads that may be listed before the previous tile's computation.
    """

    loads: dict[str, Operation]
    body: list[Operation]
    early: frozenset[str]


def list_operations(job: Job, plan: Plan, constants: Constants) -> list[Operation]:
    """All operations, in an order that is legal to execute one after the other."""
    tiles = [
        tile
        for index in range(len(job.tasks))
        for tile in _Tiler(job, plan, constants, index).tiles()
    ]
    operations: list[Operation] = []
    for tile, following in zip(tiles, [*tiles[1:], _Tile({}, [], frozenset())], strict=True):
        if tile is tiles[0]:
            operations += tile.loads.values()
        early = [op for name, op in following.loads.items() if name in following.early]
        late = [op for name, op in following.loads.items() if name not in following.early]
        operations += [*early, *tile.body, *late]
    return operations


class _Tiler:
    """The tiles of one task."""

    def __init__(self, job: Job, plan: Plan, constants: Constants, index: int) -> None:
        self.placed = job.placed
        self.plan = plan
        self.constants = constants
        self.index = index
        self.task = job.tasks[index]

    def tiles(self) -> Iterator[_Tile]:
        tiling = self.plan.tilings[self.index]
        if tiling is None:
            yield _Tile({}, [self._copy()], frozenset())
            return
        held: dict[str, Any] = {}
        fills = dict.fromkeys(tiling.slots, 0)
        for number, out in enumerate(tile_boxes(self.task.out.shape, tiling)):
            boxes = {name: box_of(self.task, name, out) for name in self.task.operands}
            if "weight" in tiling.slots:
                boxes["weight"] = Box((0, 0, 0, out.start[3]), (1, 1, 1, out.shape[3]))
            loads = {}
            for name in tiling.slots:
                if held.get(name) != boxes[name]:
                    held[name] = boxes[name]
                    slot = fills[name] % tiling.slots[name][1]
                    fills[name] += 1
                    if name != "out":
                        loads[name] = self._load(name, boxes[name], slot)
            slots = {name: (fills[name] - 1) % count for name, (_, count) in tiling.slots.items()}
            early = self.plan.prefetched[self.index]
            if number:
                early = frozenset(name for name, (_, count) in tiling.slots.items() if count == 2)
            yield _Tile(loads, self._body(boxes, slots), early)

    def _copy(self) -> Operation:
        out, a = (
            self._in_place(operand, Box(ORIGIN, operand.shape))
            for operand in (self.task.out, self.task.a)
        )
        if out.view.space is Space.sram and a.view.space is Space.sram:
            opcode = Opcode.copy
        elif out.view.space is Space.output or a.view.space is Space.sram:
            opcode = Opcode.store
        else:
            opcode = Opcode.load
        return Operation(opcode, self.task.layer, {"out": out, "a": a})

    def _load(self, name: str, box: Box, slot: int) -> Operation:
        if name == "weight":
            source = self._weight(box)
            place = slot_name(self.index, name, slot)
            view = _packed(source.view.shape, DataType.int8)
            out = Access(place, view, None, source.tensor, source.start)
            return Operation(Opcode.load, self.task.layer, {"out": out, "a": source})
        operand = self.task.operands[name]
        operands = {
            "out": self._in_slot(name, operand, box, slot),
            "a": self._in_place(operand, box),
        }
        return Operation(Opcode.load, self.task.layer, operands)

    def _body(self, boxes: dict[str, Box], slots: dict[str, int]) -> list[Operation]:
        """The computation of a tile, and the store of its output if that has a slot."""
        task = self.task
        operands = {
            name: self._in_slot(name, operand, boxes[name], slots[name])
            if name in slots
            else self._in_place(operand, boxes[name])
            for name, operand in task.operands.items()
        }
        if task.is_copy:
            return [Operation(Opcode.store, task.layer, operands)]
        out = boxes["out"]
        if task.weighted:
            channels = Box((0, 0, 0, out.start[3]), (1, 1, 1, out.shape[3]))
            weight = self._weight(channels)
            if "weight" in slots:
                block = slot_name(self.index, "weight", slots["weight"])
                view = _packed(weight.view.shape, DataType.int8)
                weight = Access(block, view, None, weight.tensor, weight.start)
            operands["weight"] = weight
        values = parameters(self.placed.graph, task, boxes, self.constants)
        body = [Operation(opcode_of(task.computed), task.layer, operands, values)]
        if "out" in slots:
            store = {"out": self._in_place(task.out, out), "a": operands["out"]}
            body.append(Operation(Opcode.store, task.layer, store))
        return body

    def _in_place(self, operand: Operand, box: Box) -> Access:
        """A part of an operand where its tensor lies."""
        buffer = self.placed.buffers[operand.place.buffer]
        space = self.plan.spaces[buffer.name]
        n, y, x, c = box.start
        place = operand.place
        at = (n + place.batch, y + place.row, x + place.column, c + place.channel)
        offset = sum(index * step for index, step in zip(at, buffer.strides, strict=True))
        view = View(space, buffer.dtype, box.shape, buffer.strides, offset, buffer.index)
        return Access(buffer.name, view, at, operand.tensor, _moved(operand.start, box.start))

    def _in_slot(self, name: str, operand: Operand, box: Box, slot: int) -> Access:
        dtype = DataType[self.placed.graph.tensors[operand.tensor].dtype]
        place = slot_name(self.index, name, slot)
        start = _moved(operand.start, box.start)
        return Access(place, _packed(box.shape, dtype), None, operand.tensor, start)

    def _weight(self, channels: Box) -> Access:
        """The packed weights of some output channels, in the constants."""
        node = self.task.computed
        _, *kernel = node.attributes["weight"].shape
        layout = weight_layout(node, self.placed.graph.tensors[self.task.a.tensor].dtype)
        begin, count = channels.start[3], channels.shape[3]
        offset = self.constants.weights[node.name]
        if begin:
            offset += packed_bytes((begin, *kernel), layout)  # of whole blocks
        size = packed_bytes((count, *kernel), layout)
        view = View(Space.constant, DataType.int8, (1, 1, 1, size), (size, size, size, 1), offset)
        return Access(None, view, None, f"{node.name}:weight", (0, 0, 0, begin))


def tile_boxes(shape: Quad, tiling: Tiling) -> Iterator[Box]:
    """The tiles of an output in the order of the tiling's loops."""
    ranges = [range(0, shape[axis], tiling.shape[axis]) for axis in tiling.order]
    for starts in product(*ranges):
        start = [0, 0, 0, 0]
        for axis, value in zip(tiling.order, starts, strict=True):
            start[axis] = value
        n, y, x, c = start
        sizes = [
            min(tile, side - begin)
            for tile, side, begin in zip(tiling.shape, shape, start, strict=True)
        ]
        yield Box((n, y, x, c), (sizes[0], sizes[1], sizes[2], sizes[3]))


def _packed(shape: Quad, dtype: DataType) -> View:
    _, height, width, channels = shape
    pixel = channels * dtype.size
    strides = (height * width * pixel, width * pixel, pixel, dtype.size)
    return View(Space.sram, dtype, shape, strides, 0)


def _moved(start: Quad, by: Quad) -> Quad:
    n, y, x, c = (a + b for a, b in zip(start, by, strict=True))
    return n, y, x, c
