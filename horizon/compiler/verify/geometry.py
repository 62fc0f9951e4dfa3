"""What an instruction has to read for the part of a layer's output that it makes.

Nothing here trusts the instruction. Its padding claims where its first row lies; the elements found
there must agree. Every row that the layer's definition reads must be in the instruction's operand
or outside the whole tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from horizon.compiler.verify.problem import Wrong
from horizon.compiler.verify.tags import Quad
from horizon.hbir.node import Node
from horizon.hbm.records import Instruction, Opcode, View, WeightLayout

OPCODES = {
    "conv2d": Opcode.conv,
    "conv_transpose2d": Opcode.conv,
    "correlation": Opcode.correlation,
    "matmul": Opcode.matmul,
    "transpose": Opcode.transpose,
    "warp": Opcode.warp,
    "rescale": Opcode.rescale,
    "add": Opcode.add,
    "mul": Opcode.mul,
    "max_pool2d": Opcode.max_pool,
    "adaptive_max_pool2d": Opcode.max_pool,
    "avg_pool2d": Opcode.avg_pool,
    "adaptive_avg_pool2d": Opcode.avg_pool,
    "resize": Opcode.resize,
    "lookup": Opcode.lookup,
}
SIDES = ("row", "column")


@dataclass(frozen=True)
class Part:
    """What one instruction makes.

    Attributes:
        start: where its output lies in the node's.
        shapes: of the node's inputs.
    """

    instruction: Instruction
    node: Node
    start: Quad
    shapes: tuple[Quad, ...]

    @property
    def channels(self) -> slice:
        """The output channels of the node that the instruction makes."""
        return slice(self.start[3], self.start[3] + self.instruction.out.shape[3])


def reads(part: Part) -> dict[str, Quad]:
    """For each operand, the place in the node's input where it has to begin."""
    read = {
        Opcode.conv: _conv,
        Opcode.correlation: _correlation,
        Opcode.matmul: _matmul,
        Opcode.transpose: _transpose,
        Opcode.warp: _warp,
        Opcode.rescale: lambda part: {"a": part.start},
        Opcode.add: lambda part: {"a": part.start, "b": part.start},
        Opcode.mul: _mul,
        Opcode.max_pool: _pool,
        Opcode.avg_pool: _pool,
        Opcode.resize: _resize,
        Opcode.lookup: lambda part: {"a": part.start},
    }
    return read[part.instruction.opcode](part)


def _conv(part: Part) -> dict[str, Quad]:
    top, left = (_conv_side(part, axis) for axis in (0, 1))
    groups = part.node.attributes.get("groups", 1)
    found, first, channels = part.instruction.a.shape[3], 0, part.shapes[0][3]
    if part.instruction.weight_layout is WeightLayout.depthwise:
        if part.node.attributes["weight"].shape[::3] != (groups, 1):
            raise Wrong("weight_layout", "depthwise", "a layer of one input and output per group")
        first, channels = part.start[3], part.instruction.out.shape[3]
    elif groups != 1:
        raise Wrong("layer", f"{groups} groups", "a layer without groups, or a depthwise one")
    if found != channels:
        raise Wrong("operand a", f"{found} channels", f"{channels}, from {first} on")
    starts = {"a": (part.start[0], top, left, first)}
    residual = len(part.shapes) == 2
    if residual:
        starts["b"] = part.start
    if (part.instruction.b is not None) != residual:
        expected = "a residual" if residual else "none, the layer has no residual"
        raise Wrong("operand b", "an operand" if part.instruction.b else "none", expected)
    return starts


def _conv_side(part: Part, axis: int) -> int:
    """The first row (axis 0) or column (axis 1) of operand a, from the padding."""
    instruction, values = part.instruction, part.node.attributes
    stride, padding = values["stride"][axis], values["padding"][axis]
    taps = np.arange(values["weight"].shape[1 + axis])
    begin, own = part.start[1 + axis], instruction.pad[axis]
    places = begin + np.arange(instruction.out.shape[1 + axis])[:, None]
    if part.node.op == "conv2d":
        needed = places * stride - padding + taps * values["dilation"][axis]
        first = begin * stride - padding + own
    else:
        sources = places + padding - taps
        needed = sources[sources % stride == 0] // stride
        first, rest = divmod(padding + begin - own, stride)
        if rest:
            raise Wrong("pad", f"{own}", f"{padding + begin} less a multiple of stride {stride}")
    _check_halo("a", needed, first, instruction.a, part.shapes[0], axis)
    return first


def _correlation(part: Part) -> dict[str, Quad]:
    instruction, (n, top, left, first) = part.instruction, part.start
    reach = part.node.attributes["max_displacement"]
    if first != 0 or instruction.a.shape[3] != part.shapes[0][3]:
        found = f"{instruction.a.shape[3]} channels for output channels from {first} on"
        raise Wrong("operand a", found, f"all {part.shapes[0][3]}, and all displacements")
    begin = [0, 0]
    assert instruction.b is not None
    for axis in (0, 1):
        place, side = part.start[1 + axis], instruction.out.shape[1 + axis]
        begin[axis] = place + instruction.pad[axis] - reach
        needed = np.arange(place - reach, place + side + reach)
        _check_halo("b", needed, begin[axis], instruction.b, part.shapes[1], axis)
    return {"a": (n, top, left, 0), "b": (n, begin[0], begin[1], 0)}


def _matmul(part: Part) -> dict[str, Quad]:
    """Pixels of a; all of b, all channels, and so all channels of the output."""
    (n, top, left, first), (whole, other) = part.start, part.shapes
    heads = part.node.attributes["heads"]
    channels = heads * other[1] * other[2] if part.node.attributes["transposed"] else other[3]
    assert part.instruction.b is not None
    for name, view, sides in (
        ("out", part.instruction.out, (channels,)),
        ("a", part.instruction.a, whole[3:]),
        ("b", part.instruction.b, other[1:]),
    ):
        if view.shape[-len(sides) :] != sides:
            raise Wrong(f"operand {name}", f"a part of {view.shape}", f"the whole, {sides}")
    if first != 0:
        raise Wrong("operand out", f"channels from {first} on", "all of them")
    return {"a": (n, top, left, 0), "b": (n, 0, 0, 0)}


def _transpose(part: Part) -> dict[str, Quad]:
    """Whole maps with all their channels."""
    (n, *place), whole = part.start, part.shapes[0]
    values = part.node.attributes
    made = (*values["size"], values["heads"] * whole[1] * whole[2])
    for name, view, sides in (
        ("out", part.instruction.out, made),
        ("a", part.instruction.a, whole[1:]),
    ):
        if view.shape[1:] != sides:
            raise Wrong(f"operand {name}", f"a part of {view.shape}", f"the whole, {sides}")
    if any(place):
        raise Wrong("operand out", f"a part from {place} on", "the whole")
    return {"a": (n, 0, 0, 0)}


def _check_halo(
    operand: str, needed: np.ndarray, first: int, view: View, whole: Quad, axis: int
) -> None:
    """Check that a view has exactly the rows (columns) of the tensor that are needed."""
    side = view.shape[1 + axis]
    name, limit = SIDES[axis], whole[1 + axis]
    if first < 0 or first + side > limit:
        found = f"{name}s {first}..{first + side - 1} by the padding"
        raise Wrong(f"operand {operand}", found, f"{name}s of 0..{limit - 1}")
    exists = (needed >= 0) & (needed < limit)
    missing = needed[exists & ((needed < first) | (needed >= first + side))]
    if missing.size:
        found = f"{name}s {first}..{first + side - 1} only"
        raise Wrong(f"operand {operand}", found, f"{name} {missing.min()} as well, a halo")


def _mul(part: Part) -> dict[str, Quad]:
    """Along a side of 1, every part reads the only element of operand b; else its own ones."""
    assert part.instruction.b is not None
    whole, view = part.shapes[1], part.instruction.b.shape
    sides = [1 if whole[axis] == 1 else part.instruction.out.shape[axis] for axis in range(4)]
    if list(view) != sides:
        raise Wrong("operand b", f"a part of {view}", f"{tuple(sides)} of {whole}")
    n, y, x, c = (0 if side == 1 else place for side, place in zip(whole, part.start, strict=True))
    return {"a": part.start, "b": (n, y, x, c)}


def pool_window(part: Part, axis: int) -> tuple[int, int, int]:
    """Kernel, stride and padding along the rows (axis 0) or columns."""
    values = part.node.attributes
    if "size" in values:
        kernel = part.shapes[0][1 + axis] // values["size"][axis]
        return kernel, kernel, 0
    return values["kernel"][axis], values["stride"][axis], values["padding"][axis]


def _pool(part: Part) -> dict[str, Quad]:
    instruction = part.instruction
    begin = [0, 0]
    for axis in (0, 1):
        kernel, stride, padding = pool_window(part, axis)
        places = part.start[1 + axis] + np.arange(instruction.out.shape[1 + axis])[:, None]
        needed = places * stride - padding + np.arange(kernel)
        begin[axis] = part.start[1 + axis] * stride - padding + instruction.pad[axis]
        _check_halo("a", needed, begin[axis], instruction.a, part.shapes[0], axis)
    n, _, _, c = part.start
    return {"a": (n, begin[0], begin[1], c)}


def _resize(part: Part) -> dict[str, Quad]:
    instruction, (n, top, left, c) = part.instruction, part.start
    if instruction.origin != (top, left):
        raise Wrong("origin", f"{instruction.origin}", f"{(top, left)}")
    begin = []
    for axis in (0, 1):
        begin.append(-instruction.pad[axis])
        rows = range(part.start[1 + axis], part.start[1 + axis] + instruction.out.shape[1 + axis])
        needed = np.array([row for place in rows for row in resize_rows(part, axis, place)])
        _check_halo("a", needed, begin[axis], instruction.a, part.shapes[0], axis)
    return {"a": (n, begin[0], begin[1], c)}


def resize_rows(part: Part, axis: int, row: int) -> list[int]:
    """The two rows (axis 0) or columns of the input that a row or column of the output reads."""
    values, side = part.node.attributes, part.shapes[0][1 + axis]
    up, down = values["up"][axis], values["down"][axis]
    if not values["bilinear"]:
        return [row * down // up if not values["exact"] else (2 * row + 1) * down // (2 * up)]
    place = Fraction((2 * row + 1) * down - up, 2 * up)
    if values["align_corners"]:
        last = side * up // down - 1
        place = Fraction(row * (side - 1), last) if last else Fraction(0)
    # In steps of 2^-8 pixels, halves upwards, inside of the map.
    steps = min(max(math.floor(place * 256 + Fraction(1, 2)), 0), (side - 1) * 256)
    return [steps // 256, min(steps // 256 + 1, side - 1)]


def _warp(part: Part) -> dict[str, Quad]:
    instruction, (n, top, left, first) = part.instruction, part.start
    if instruction.origin != (top, left):
        raise Wrong("origin", f"{instruction.origin}", f"{(top, left)}")
    whole = part.shapes[0][1:3]
    if instruction.a.shape[1:3] != whole:
        raise Wrong("operand a", f"a map of {instruction.a.shape[1:3]}", f"the whole, {whole}")
    return {"a": (n, 0, 0, first), "b": (n, top, left, 0)}
