"""Programs written by hand, instruction by instruction, as a compiler would write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from horizon.hbir.fixed_point import offset_fraction_bits
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import (
    UNIT_OF,
    DataType,
    Instruction,
    IoTensor,
    Layout,
    Opcode,
    Program,
    Space,
    Unit,
    View,
    WeightLayout,
)
from horizon.hbm.weights import channel_table, pack_weights
from tests.horizon.hbir.programs import conv_attributes, conv_program, pyramid

Claim = tuple[str, tuple[int, int, int, int]]
ORIGIN = (0, 0, 0, 0)


def dense(space: Space, dtype: str, shape: Any, offset: int) -> View:
    """A view without gaps."""
    size = DataType[dtype].size
    _, h, w, c = shape
    strides = (h * w * c * size, w * c * size, c * size, size)
    return View(space, DataType[dtype], tuple(shape), strides, offset)


def part(view: View, start: Any, shape: Any) -> View:
    """A box of a view."""
    offset = view.offset + sum(a * b for a, b in zip(start, view.strides, strict=True))
    return View(view.space, view.dtype, tuple(shape), view.strides, offset, view.index)


@dataclass
class Assembler:
    """Collects the instructions of a program, their regions and constants."""

    graph: Graph
    input_type: str = "uint8"
    instructions: list[Instruction] = field(default_factory=list)
    regions: list[dict[str, Claim | None]] = field(default_factory=list)
    constants: bytearray = field(default_factory=bytearray)
    sram: int = 0
    ddr: int = 0

    def memory(self, name: str, shape: Any = None, space: Space = Space.sram) -> View:
        """New memory for a tensor or for a part of it."""
        info = self.graph.tensors[name]
        used = self.sram if space is Space.sram else self.ddr
        view = dense(space, info.dtype, shape or info.shape, used)
        end = -(-view.end // 64) * 64
        if space is Space.sram:
            self.sram = end
        else:
            self.ddr = end
        return view

    def io(self, space: Space, name: str) -> View:
        """The file's NCHW array of an input or output, as NHWC."""
        names = self.graph.inputs if space is Space.input else self.graph.outputs
        info = self.graph.tensors[name]
        dtype = DataType[self._io_type(space, info.dtype)]
        _, h, w, c = info.shape
        strides = (c * h * w * dtype.size, w * dtype.size, dtype.size, h * w * dtype.size)
        return View(space, dtype, info.shape, strides, 0, names.index(name))

    def _io_type(self, space: Space, dtype: str) -> str:
        return self.input_type if space is Space.input and dtype == "int8" else dtype

    def constant(self, data: bytes) -> int:
        """The offset of new constants."""
        self.constants += bytes(-len(self.constants) % 64)
        offset = len(self.constants)
        self.constants += data
        return offset

    def emit(
        self,
        opcode: Opcode,
        layer: str,
        out: tuple[View, Claim],
        waits: dict[Unit, int] | None = None,
        **rest: Any,
    ) -> int:
        """Add an instruction; operands are (view, claim). Returns its count within its unit."""
        unit = UNIT_OF[opcode]
        operands = {"out": out}
        for name in ("a", "b", "weight"):
            if rest.get(name) is not None:
                operands[name] = rest.pop(name)
        views = {name: view for name, (view, _) in operands.items()}
        ordered = tuple((waits or {}).get(unit, 0) for unit in Unit)
        self.instructions.append(Instruction(opcode, unit, layer, ordered, **views, **rest))
        self.regions.append({name: claim for name, (_, claim) in operands.items()})
        return sum(i.unit == unit for i in self.instructions)

    def move(
        self,
        opcode: Opcode,
        layer: str,
        claim: Claim,
        out: View,
        a: View,
        waits: dict[Unit, int] | None = None,
    ) -> int:
        return self.emit(opcode, layer, (out, claim), waits, a=(a, claim))

    def weights(self, node: Node, layout: WeightLayout = WeightLayout.blocked) -> View:
        """All weights of a layer in the constants."""
        data = pack_weights(node.attributes["weight"], layout).tobytes()
        return dense(Space.constant, "int8", (1, 1, 1, len(data)), self.constant(data))

    def parameters(self, node: Node) -> dict[str, Any]:
        """The fields of the node's instructions, its table included."""
        values = node.attributes
        fields = {name: values[name] for name in ("lo", "hi") if name in values}
        table: tuple[Any, ...] = (0, values.get("multiplier"), values.get("shift"))
        if node.op in ("conv2d", "conv_transpose2d"):
            fields |= {
                "kernel": values["weight"].shape[1:3],
                "stride": values["stride"],
                "dilation": values.get("dilation", (1, 1)),
                "transposed": node.op == "conv_transpose2d",
            }
            table = (values["bias"], *table[1:], values.get("residual_multiplier", 0))
        elif node.op == "correlation":
            fields["reach"] = values["max_displacement"]
        elif node.op == "warp":
            _, height, width, _ = self.graph.tensors[node.output].shape
            bits = offset_fraction_bits(height, width)
            fields["fraction_bits"] = bits
            table = (0, values["offset_multiplier"], values["offset_shift"] - bits)
        elif node.op == "add":
            table = (0, values["multiplier_a"], values["shift"], values["multiplier_b"])
        data = channel_table(*table)
        return {
            **fields,
            "table": self.constant(data),
            "table_count": len(data) // CHANNEL.itemsize,
        }

    def compiled(self) -> SimpleNamespace:
        """What the verifier takes."""
        tensors = []
        for space, names in ((Space.input, self.graph.inputs), (Space.output, self.graph.outputs)):
            group = []
            for name in names:
                info = self.graph.tensors[name]
                n, h, w, c = info.shape
                dtype = DataType[self._io_type(space, info.dtype)]
                zero = 128 if dtype is DataType.uint8 else 0
                group.append(IoTensor(name, dtype, Layout.nchw, (n, c, h, w), info.scales, zero))
            tensors.append(tuple(group))
        program = Program(
            "handmade",
            "hand",
            0,
            *tensors,
            tuple(self.instructions),
            bytes(self.constants),
            self.sram,
            self.ddr,
            1,
            {},
        )
        return SimpleNamespace(program=program, graph=self.graph, regions=tuple(self.regions))


def tiled_conv(
    op: str = "conv2d", rows: int = 2, buffers: int = 2, spill: bool = False, **values: Any
) -> SimpleNamespace:
    """A convolution 3 x 3 (transposed: 4 x 4), some output rows at a time.

    Loading, convolving and storing overlap: tile t uses buffer t modulo ``buffers``. With ``spill``
    the output goes to ddr first and from there to the caller.
    """
    rng = np.random.default_rng(0)
    size = 3 if op == "conv2d" else 4
    attributes = conv_attributes(rng, op, (5, size, size, 3), "int16", False, **values)
    graph = conv_program(op, (2, 9, 6, 3), attributes, "int8", "int16", None)
    node, x, y = graph.nodes[0], graph.tensors["x"].shape, graph.tensors["y"].shape
    code = Assembler(graph)
    source, target = code.io(Space.input, "x"), code.io(Space.output, "y")
    spilled = code.memory("y", space=Space.ddr) if spill else target
    constant = code.weights(node)
    weight = dense(Space.sram, "int8", constant.shape, 0)
    code.sram = -(-weight.end // 64) * 64
    code.move(Opcode.load, "layer", ("weights of layer", ORIGIN), weight, constant)
    fields = code.parameters(node)
    inputs = [code.memory("x") for _ in range(buffers)]
    outputs = [code.memory("y", (y[0], rows, y[2], y[3])) for _ in range(buffers)]
    for tile, begin in enumerate(range(0, y[1], rows)):
        end = min(begin + rows, y[1])
        first, last = _input_rows(node, begin, end, x[1])
        stride, pad = node.attributes["stride"][0], node.attributes["padding"]
        top = pad[0] - begin * stride + first
        if op != "conv2d":
            top = pad[0] + begin - first * stride
        number, slot = tile + 1, tile % buffers
        free = {Unit.tensor: number - buffers} if number > buffers else {}
        box, claim = (x[0], last - first, x[2], x[3]), ("x", (0, first, 0, 0))
        a = part(inputs[slot], ORIGIN, box)
        code.move(Opcode.load, "layer", claim, a, part(source, claim[1], box), free)
        waits = {Unit.load: number + 1}
        if number > buffers:
            waits[Unit.store] = number - buffers
        region = ("y", (0, begin, 0, 0))
        box = (y[0], end - begin, y[2], y[3])
        out = part(outputs[slot], ORIGIN, box)
        code.emit(
            Opcode.conv,
            "layer",
            (out, region),
            waits,
            a=(a, claim),
            weight=(weight, ("weights of layer", ORIGIN)),
            pad=(top, pad[1]),
            **fields,
        )
        destination = part(spilled, region[1], box)
        code.move(Opcode.store, "layer", region, destination, out, {Unit.tensor: number})
    if spill:
        code.move(Opcode.store, "layer", ("y", ORIGIN), target, spilled)
    return code.compiled()


def _input_rows(node: Node, begin: int, end: int, height: int) -> tuple[int, int]:
    """The first row, and the last + 1, of the input that output rows begin..end - 1 read."""
    values = node.attributes
    stride, padding = values["stride"][0], values["padding"][0]
    taps = values["weight"].shape[1] - 1
    if node.op == "conv2d":
        first = begin * stride - padding
        last = (end - 1) * stride - padding + taps * values["dilation"][0] + 1
    else:
        first = -((taps - begin - padding) // stride)
        last = (end - 1 + padding) // stride + 1
    return max(first, 0), min(last, height)


def whole_pyramid() -> SimpleNamespace:
    """Every operator but add and rescale, untiled; concats and slices are views."""
    graph = pyramid()
    code = Assembler(graph, "int8")
    nodes = {node.name: node for node in graph.nodes}
    both, features, dense_ = (code.memory(name) for name in ("both", "features", "dense"))
    flow, warped, out = (code.memory(name) for name in ("flow", "warped", "out"))
    f1, f2 = (part(features, (n, 0, 0, 0), (1, 4, 6, 5)) for n in (0, 1))
    img = code.io(Space.input, "img")
    for n, name in enumerate(("one", "two")):
        image = (1, 8, 12, 3)
        source = part(img, (0, 0, 0, 3 * n), image)
        code.move(Opcode.load, name, (name, ORIGIN), part(both, (n, 0, 0, 0), image), source)

    def conv(name: str, view: View, a: View, waits: dict[Unit, int]) -> int:
        node = nodes[name]
        layout = WeightLayout.rows if view.shape[3] <= 4 else WeightLayout.blocked
        return code.emit(
            Opcode.conv,
            name,
            (view, (node.output, ORIGIN)),
            waits,
            a=(a, (node.inputs[0], ORIGIN)),
            weight=(code.weights(node, layout), ("weights", ORIGIN)),
            weight_layout=layout,
            pad=node.attributes["padding"],
            **code.parameters(node),
        )

    conv("down.0", features, both, {Unit.load: 2})
    code.emit(
        Opcode.correlation,
        "corr",
        (part(dense_, ORIGIN, (1, 4, 6, 9)), ("cost", ORIGIN)),
        a=(f1, ("features", ORIGIN)),
        b=(f2, ("f2", ORIGIN)),
        pad=(1, 1),
        **code.parameters(nodes["corr"]),
    )
    into = part(dense_, (0, 0, 0, 9), (1, 4, 6, 5))
    copies = code.emit(
        Opcode.copy,
        "cat",
        (into, ("dense", (0, 0, 0, 9))),
        {Unit.tensor: 1},
        a=(f1, ("f1", ORIGIN)),
    )
    conv("predict", flow, dense_, {Unit.transform: copies})
    code.move(
        Opcode.store,
        "predict",
        ("flow", ORIGIN),
        code.io(Space.output, "flow"),
        flow,
        {Unit.tensor: 3},
    )
    for top in (0, 2):
        box = (1, 2, 6, 5)
        code.emit(
            Opcode.warp,
            "warp",
            (part(warped, (0, top, 0, 0), box), ("warped", (0, top, 0, 0))),
            {Unit.tensor: 3},
            a=(f2, ("f2", ORIGIN)),
            b=(part(flow, (0, top, 0, 0), (1, 2, 6, 2)), ("flow", (0, top, 0, 0))),
            origin=(top, 0),
            **code.parameters(nodes["warp"]),
        )
    conv("up", out, warped, {Unit.aux: 2})
    code.move(
        Opcode.store, "up", ("out", ORIGIN), code.io(Space.output, "out"), out, {Unit.tensor: 4}
    )
    return code.compiled()
