"""What each instruction requires (``docs/hbm_format.md``, "Instructions").

Only what one instruction shows by itself. Whether a convolution's accumulators stay below 2^28 is
for ``horizon.hbm.proof``, whether a value is there when it is read for the compiler's verifier.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from enum import IntEnum

import numpy as np

from horizon.hbir.fixed_point import (
    ACCUMULATOR_LIMIT,
    LIMITS,
    offset_fraction_bits,
)
from horizon.hbm.overlap import overlap
from horizon.hbm.records import (
    ALIGNMENT,
    ROWS_OUTPUTS,
    UNIT_OF,
    DataType,
    Instruction,
    Opcode,
    Pair,
    Space,
    View,
    WeightLayout,
)
from horizon.hbm.require import fail, require
from horizon.hbm.table_rules import check_table
from horizon.hbm.weights import packed_bytes, weight_shape
from horizon.isa.bounds import LOOKUP_ENTRIES, MAX_FRACTION_BITS, MAX_SIDE
from horizon.isa.instructions import INSTRUCTIONS
from horizon.isa.records import RECORDS, Field

# What has to keep its default, by opcode.
_UNUSED = {
    opcode: [
        (field.name, field.default)
        for field in fields(Instruction)[6:]
        if field.name not in operation.fields and field.name not in operation.operands
    ]
    for opcode, operation in INSTRUCTIONS.items()
}
# What has bounds of its own, by opcode.
_BOUNDED = {
    opcode: [
        field
        for field in map(RECORDS["InstructionRecord"].field, operation.fields)
        if field.form in ("number", "pair") and field.low is not None
    ]
    for opcode, operation in INSTRUCTIONS.items()
}


def check_rules(instruction: Instruction, table: np.ndarray, where: str) -> None:
    """Check operands and parameters of one instruction, whose views are inside their memories.

    Args:
        table: its channel entries, (table_count,) of ``format.CHANNEL``; a lookup's: not looked at.

    Raises:
        InputError: begins with ``where``.
    """
    opcode = instruction.opcode
    unit = UNIT_OF[opcode]
    require(instruction.unit == unit, where, f"unit {instruction.unit.name}", unit.name)
    for name, default in _UNUSED[opcode]:
        value = getattr(instruction, name)
        if value != default:
            fail(where, f"{name} is {value}", f"{default}: {opcode.name} does not use it")
    operation = INSTRUCTIONS[opcode]
    for name, operand in operation.operands.items():
        view = getattr(instruction, name)
        if view is None:
            require(operand.optional, where, f"no operand {name}", "one")
            continue
        if view.space not in operand.spaces:
            fail(where, f"{name} is in {view.space.name}", _names(operand.spaces))
        if view.dtype not in operand.types:
            fail(where, f"{name} is {view.dtype.name}", _names(operand.types))
        if operation.computes and view.strides[3] != view.dtype.size:
            fail(where, f"{name} has channel stride {view.strides[3]}", f"{view.dtype.size}")
    for field in _BOUNDED[opcode]:
        _check_field(field, getattr(instruction, field.name), where)
    _check_disjoint(instruction.out, where)
    if "lo" in operation.fields:
        low, high = LIMITS[instruction.out.dtype.name]
        found = f"limits {instruction.lo}..{instruction.hi}"
        in_type = low <= instruction.lo <= instruction.hi <= high
        require(in_type, where, found, f"lo <= hi within {low}..{high}")
    if opcode is Opcode.avg_pool:
        _check_windows(instruction, where)  # whose elements the table counts
    if "table" in operation.fields and not operation.looks_up:
        check_table(instruction, table, where)
    _CHECKS[opcode](instruction, where)
    for name in ("a", "b", "weight"):
        view = getattr(instruction, name)
        if view is not None and overlap(instruction.out, view):
            fail(where, f"out shares bytes with {name}", "places of their own")


def _check_field(field: Field, value: int | Pair, where: str) -> None:
    low, high = field.low or 0, field.high or 0
    values = value if isinstance(value, tuple) else (value,)
    if min(values) < low or max(values) > high:
        fail(where, f"{field.name.replace('_', ' ')} {value}", f"{low}..{high}")


def _names(members: Iterable[IntEnum]) -> str:
    return " or ".join(member.name for member in sorted(members))


def _check_disjoint(out: View, where: str) -> None:
    """No byte of an output is written twice."""
    extent = out.dtype.size
    steps = sorted((step, side) for step, side in zip(out.strides, out.shape, strict=True))
    for step, side in steps:
        if side > 1 and step < extent:
            fail(where, f"elements of out overlap (strides {out.strides})", "each at its own place")
        extent += step * (side - 1)


def _check_move(instruction: Instruction, where: str) -> None:
    out, a = instruction.out, instruction.a
    require(out.shape == a.shape, where, f"out is {out.shape}, a is {a.shape}", "equal shapes")
    if out.dtype != a.dtype:
        types = (a.dtype, out.dtype) == (DataType.uint8, DataType.int8)
        signed = instruction.opcode is Opcode.load and a.space is Space.input and types
        found = f"a is {a.dtype.name} in {a.space.name}, out is {out.dtype.name}"
        require(signed, where, found, "equal types, or uint8 of an input loaded as int8")
    if Space.ddr in (a.space, out.space) and a.space == out.space:
        fail(where, "both operands are in ddr", "one of them somewhere else")


def _check_sides(instruction: Instruction, where: str) -> None:
    for view in (instruction.out, instruction.a, instruction.b):
        if view and max(view.shape) > MAX_SIDE:
            fail(where, f"an operand of shape {view.shape}", f"sides of at most {MAX_SIDE}")


def _check_conv(instruction: Instruction, where: str) -> None:
    out, a, b, weight = instruction.out, instruction.a, instruction.b, instruction.weight
    assert weight is not None  # the instruction set has it
    _check_sides(instruction, where)
    if instruction.transposed and instruction.dilation != (1, 1):
        fail(where, f"dilation {instruction.dilation}, transposed", "(1, 1)")
    if instruction.weight_layout is WeightLayout.rows and a.dtype is not DataType.int8:
        fail(where, f"weight layout rows for an input of {a.dtype.name}", "blocked, or int8")
    if instruction.weight_layout is WeightLayout.rows and out.shape[3] > ROWS_OUTPUTS:
        fail(where, f"weight layout rows for {out.shape[3]} outputs", f"at most {ROWS_OUTPUTS}")
    if instruction.weight_layout is WeightLayout.depthwise:
        require(
            not instruction.transposed, where, "depthwise weights, transposed", "not transposed"
        )
        found = f"depthwise weights for {a.shape[3]} inputs and {out.shape[3]} outputs"
        require(out.shape[3] == a.shape[3], where, found, "as many outputs as inputs")
    require(out.shape[0] == a.shape[0], where, f"out is {out.shape}, a is {a.shape}", "one batch")
    if b and b.shape != out.shape:
        fail(where, f"the residual is {b.shape}", f"out's shape {out.shape}")
    size = packed_bytes(weight_shape(instruction), instruction.weight_layout)
    expected = f"(1, 1, 1, {size}) for {a.shape[3]} inputs and {out.shape[3]} outputs"
    require(weight.shape == (1, 1, 1, size), where, f"weight is {weight.shape}", expected)
    aligned = weight.offset % ALIGNMENT == 0
    require(aligned, where, f"weight is at {weight.offset}", f"a multiple of {ALIGNMENT}")


def _check_correlation(instruction: Instruction, where: str) -> None:
    out, a, b, reach = instruction.out, instruction.a, instruction.b, instruction.reach
    assert b is not None
    _check_sides(instruction, where)
    shape = (*a.shape[:3], (2 * reach + 1) ** 2)
    require(out.shape == shape, where, f"out is {out.shape}", f"{shape} for a of {a.shape}")
    same = (b.shape[0], b.shape[3]) == (a.shape[0], a.shape[3])
    require(same, where, f"b is {b.shape}, a is {a.shape}", "equal batch and channels")
    bound = a.shape[3]
    for view in (a, b):
        bound *= -LIMITS[view.dtype.name][0]
    found = f"an accumulator that can reach {bound}"
    require(bound < ACCUMULATOR_LIMIT, where, found, f"less than {ACCUMULATOR_LIMIT}")


def _check_matmul(instruction: Instruction, where: str) -> None:
    out, a, b = instruction.out, instruction.a, instruction.b
    assert b is not None
    _check_sides(instruction, where)
    one = out.shape[:3] == a.shape[:3] and b.shape[0] == a.shape[0]
    found = f"out is {out.shape}, a is {a.shape}, b is {b.shape}"
    require(one, where, found, "out with the pixels of a, and one batch")
    pixels = b.shape[1] * b.shape[2]
    # Of the two that have b's pixels as channels and those that have b's channels.
    grouped, same = (out, a) if instruction.transposed else (a, out)
    groups, rest = divmod(grouped.shape[3], pixels)
    fits = not rest and same.shape[3] == b.shape[3] and b.shape[3] % groups == 0
    names = ("a", "out") if instruction.transposed else ("out", "a")
    expected = (
        f"{names[0]} with {b.shape[3]} channels, {names[1]} with {pixels} for each of some equal "
        "groups of these"
    )
    require(fits, where, found, expected)
    bound = a.shape[3] // groups
    for view in (a, b):
        bound *= -LIMITS[view.dtype.name][0]
    found = f"an accumulator that can reach {bound}"
    require(bound < ACCUMULATOR_LIMIT, where, found, f"less than {ACCUMULATOR_LIMIT}")


def _check_transpose(instruction: Instruction, where: str) -> None:
    out, a = instruction.out, instruction.a
    _check_sides(instruction, where)
    require(out.dtype == a.dtype, where, f"out is {out.dtype.name}", f"a's {a.dtype.name}")
    pixels, made = (view.shape[1] * view.shape[2] for view in (a, out))
    groups = out.shape[3] // pixels
    fits = (out.shape[0], out.shape[3], a.shape[3]) == (a.shape[0], groups * pixels, groups * made)
    expected = f"one batch, {pixels} channels of out and {made} of a for each of equal groups"
    require(groups > 0 and fits, where, f"out is {out.shape}, a is {a.shape}", expected)


def _check_warp(instruction: Instruction, where: str) -> None:
    out, a, b = instruction.out, instruction.a, instruction.b
    assert b is not None
    _check_sides(instruction, where)
    require(out.dtype == a.dtype, where, f"out is {out.dtype.name}", f"a's {a.dtype.name}")
    same = (out.shape[0], out.shape[3]) == (a.shape[0], a.shape[3])
    require(same, where, f"out is {out.shape}, a is {a.shape}", "equal batch and channels")
    offsets = (*out.shape[:3], 2)
    require(b.shape == offsets, where, f"b is {b.shape}", f"{offsets} for out of {out.shape}")
    _, height, width, _ = a.shape
    bits = offset_fraction_bits(height, width)
    found = f"{instruction.fraction_bits} fraction bits"
    require(instruction.fraction_bits == bits, where, found, f"{bits} for {height} x {width}")
    y, x = instruction.origin
    inside = 0 <= y <= height - out.shape[1] and 0 <= x <= width - out.shape[2]
    found = f"origin {instruction.origin} and out of {out.shape}"
    require(inside, where, found, f"inside the map of {height} x {width}")


def _check_rescale(instruction: Instruction, where: str) -> None:
    out, a = instruction.out, instruction.a
    require(out.shape == a.shape, where, f"out is {out.shape}, a is {a.shape}", "equal shapes")


def _check_add(instruction: Instruction, where: str) -> None:
    _check_rescale(instruction, where)
    shape = instruction.b.shape if instruction.b else None
    require(shape == instruction.out.shape, where, f"b is {shape}", f"{instruction.out.shape}")


def _check_mul(instruction: Instruction, where: str) -> None:
    _check_rescale(instruction, where)
    out, b = instruction.out, instruction.b
    assert b is not None
    fits = all(other in (1, side) for side, other in zip(out.shape, b.shape, strict=True))
    require(fits, where, f"b is {b.shape}", f"sides of 1 or those of out, {out.shape}")


def _check_max_pool(instruction: Instruction, where: str) -> None:
    out, a = instruction.out, instruction.a
    require(out.dtype == a.dtype, where, f"out is {out.dtype.name}", f"a's {a.dtype.name}")
    _check_windows(instruction, where)


def _check_avg_pool(instruction: Instruction, where: str) -> None:
    a = instruction.a
    rows, columns = (min(pair) for pair in zip(instruction.kernel, a.shape[1:3], strict=True))
    bound = rows * columns * -LIMITS[a.dtype.name][0]
    found = f"a sum that can reach {bound}"
    require(bound < ACCUMULATOR_LIMIT, where, found, f"less than {ACCUMULATOR_LIMIT}")


def _check_windows(instruction: Instruction, where: str) -> None:
    """Every window has an element of the map."""
    out, a = instruction.out, instruction.a
    _check_sides(instruction, where)
    same = (out.shape[0], out.shape[3]) == (a.shape[0], a.shape[3])
    require(same, where, f"out is {out.shape}, a is {a.shape}", "equal batch and channels")
    for axis, (kernel, stride, pad) in enumerate(
        zip(instruction.kernel, instruction.stride, instruction.pad, strict=True), start=1
    ):
        # The first window ends in or behind the first row, the last begins in or before the last.
        last = (out.shape[axis] - 1) * stride - pad
        if pad >= kernel or last >= a.shape[axis]:
            found = f"windows from {-pad} to {last + kernel - 1} in axis {axis}"
            fail(where, found, f"each with an element of a, 0..{a.shape[axis] - 1}")


def _check_lookup(instruction: Instruction, where: str) -> None:
    # Every value that an entry can have is one of the output's type.
    _check_rescale(instruction, where)
    count = instruction.table_count
    require(count == LOOKUP_ENTRIES, where, f"{count} entries", f"{LOOKUP_ENTRIES}")


def _check_resize(instruction: Instruction, where: str) -> None:
    out, a, bits = instruction.out, instruction.a, instruction.fraction_bits
    _check_sides(instruction, where)
    require(out.dtype == a.dtype, where, f"out is {out.dtype.name}", f"a's {a.dtype.name}")
    same = (out.shape[0], out.shape[3]) == (a.shape[0], a.shape[3])
    require(same, where, f"out is {out.shape}, a is {a.shape}", "equal batch and channels")
    require(bits in (0, MAX_FRACTION_BITS), where, f"{bits} fraction bits", "0 or 8")
    require(max(instruction.pad) <= 0, where, f"pad {instruction.pad}", "at most 0")
    for axis in range(2):
        pad, first = instruction.pad[axis], instruction.origin[axis]
        # Later pixels read later places.
        lowest, _ = _source(instruction, axis, first)
        _, highest = _source(instruction, axis, first + out.shape[axis + 1] - 1)
        if lowest + pad < 0 or highest + pad >= a.shape[axis + 1]:
            found = f"places {lowest + pad}..{highest + pad} of a in axis {axis + 1}"
            fail(where, f"it reads {found}", f"0..{a.shape[axis + 1] - 1}")


def _source(instruction: Instruction, axis: int, pixel: int) -> tuple[int, int]:
    """The first and the last place of the whole input that an output pixel reads along an axis."""
    bits, last = instruction.fraction_bits, instruction.last[axis]
    place = instruction.step[axis] * pixel + instruction.offset[axis]
    first = min(max(place // instruction.divisor[axis], 0), last << bits) >> bits
    return first, min(first + 1, last) if bits else first


_CHECKS = {
    Opcode.load: _check_move,
    Opcode.store: _check_move,
    Opcode.copy: _check_move,
    Opcode.conv: _check_conv,
    Opcode.correlation: _check_correlation,
    Opcode.warp: _check_warp,
    Opcode.rescale: _check_rescale,
    Opcode.add: _check_add,
    Opcode.mul: _check_mul,
    Opcode.matmul: _check_matmul,
    Opcode.transpose: _check_transpose,
    Opcode.max_pool: _check_max_pool,
    Opcode.avg_pool: _check_avg_pool,
    Opcode.resize: _check_resize,
    Opcode.lookup: _check_lookup,
}
