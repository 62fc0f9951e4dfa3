"""The work of one instruction, independent of the machine: products, pixels and bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from horizon.hbir.products import phases as _phases
from horizon.hbm.records import DataType, Instruction, Opcode, Space, Unit, View, WeightLayout
from horizon.isa.instructions import INSTRUCTIONS

# All memories but the SRAM, in which units compute, are in DDR.
ON_BUS = frozenset({Space.constant, Space.input, Space.output, Space.ddr})
TRANSFERS = frozenset({Opcode.load, Opcode.store})
ARRAY_OF = {
    WeightLayout.blocked: "conv",
    WeightLayout.rows: "narrow",
    WeightLayout.depthwise: "depthwise",
}
SIZES = {dtype: dtype.size for dtype in DataType}


def pixels(view: View) -> int:
    """Number of pixels (n, y, x)."""
    n, height, width, _ = view.shape
    return n * height * width


def nbytes(view: View) -> int:
    """Bytes of the elements, without the gaps between them."""
    n, height, width, channels = view.shape
    return n * height * width * channels * SIZES[view.dtype]


def touched(instruction: Instruction) -> int:
    """Bytes of all operands, each counted once: inputs, weights and output."""
    operands = (instruction.out, instruction.a, instruction.b, instruction.weight)
    return sum(nbytes(view) for view in operands if view is not None)


def array_of(instruction: Instruction) -> str | None:
    """Name of the array (of ``march.TensorUnit``) that multiplies; None without products."""
    if instruction.unit is not Unit.tensor:
        return None
    if INSTRUCTIONS[instruction.opcode].matrices:
        return "conv"  # The second operand takes the place of the weights.
    if instruction.weight is None:
        return "correlation"
    return ARRAY_OF[instruction.weight_layout]


def passes(instruction: Instruction) -> int:
    """How often a simple unit touches each element of its output: once per tap.

    The vector unit processes the taps of a kernel one after the other. A bilinear sample has four.
    (Those of a warp are part of the aux unit's numbers.)
    """
    if instruction.unit is not Unit.vector:
        return 1
    return math.prod(instruction.kernel) * (4 if instruction.fraction_bits else 1)


def is_wide(instruction: Instruction) -> bool:
    """Whether an input of the products is int16."""
    if instruction.a.dtype is DataType.int16:
        return True
    # If there are weights, the second operand is a summand and is not multiplied.
    b = instruction.b if instruction.weight is None else None
    return array_of(instruction) is not None and b is not None and b.dtype is DataType.int16


def inputs_of(instruction: Instruction) -> int:
    """Channels of the input that one output of a convolution, correlation or product reads."""
    if INSTRUCTIONS[instruction.opcode].matrices:
        return instruction.a.shape[3] // groups_of(instruction)
    depthwise = instruction.weight_layout is WeightLayout.depthwise
    return 1 if depthwise else instruction.a.shape[3]


def groups_of(instruction: Instruction) -> int:
    """Groups of channels that a matrix product multiplies by themselves; otherwise 1."""
    if not INSTRUCTIONS[instruction.opcode].matrices:
        return 1
    assert instruction.b is not None
    many = instruction.out if instruction.transposed else instruction.a
    return many.shape[3] // (instruction.b.shape[1] * instruction.b.shape[2])


def phases(instruction: Instruction) -> Iterator[tuple[int, int, int]]:
    """Divide the output of a convolution or correlation into parts whose pixels have the same taps.

    Yields:
        (rows of all images, columns, taps of the kernel), see ``hbir.products``.
    """
    i = instruction
    n, height, width, _ = i.out.shape
    for rows, columns, taps in _phases((height, width), i.kernel, i.stride, i.pad, i.transposed):
        yield n * rows, columns, taps


def products(instruction: Instruction) -> int:
    """Multiply-accumulates, padding included."""
    if array_of(instruction) is None:
        return 0
    each = instruction.out.shape[3] * inputs_of(instruction)
    return each * sum(rows * columns * taps for rows, columns, taps in phases(instruction))


def burst_bytes(instruction: Instruction, burst: int) -> int:
    """Bytes of DDR traffic of a load or store: whole bursts for every run on either side."""
    total = 0
    for view in (instruction.a, instruction.out):
        if view.space in ON_BUS:
            run, count = runs(view)
            total += -(-run // burst) * burst * count
    return total


def runs(view: View) -> tuple[int, int]:
    """The contiguous runs of a view in memory: (bytes of each run, number of runs).

    Axes are sorted by stride, so the columns of an NCHW image are a run. An axis of stride 0 reads
    the same place again, each time as a new run.
    """
    axes = sorted((s, n) for s, n in zip(view.strides, view.shape, strict=True) if n > 1)
    run = SIZES[view.dtype]
    count = 1
    for stride, side in axes:
        if stride == run:  # Behind a gap, outer axes cannot join either.
            run *= side
        else:
            count *= side
    return run, count


def signature(instruction: Instruction) -> tuple[object, ...]:
    """A key that is equal for instructions that take equally long on every machine."""
    out, a, b, weight = instruction.out, instruction.a, instruction.b, instruction.weight
    if instruction.opcode in TRANSFERS:
        return (
            instruction.opcode,
            out.shape,
            out.dtype,
            out.space,
            a.space,
            out.space in ON_BUS and out.strides,
            a.space in ON_BUS and a.strides,
        )
    return (
        instruction.opcode,
        out.shape,
        out.dtype,
        a.shape,
        a.dtype,
        b is not None and (b.shape, b.dtype),
        weight is not None and weight.shape,
        instruction.kernel,
        instruction.fraction_bits,
        instruction.weight_layout,
        instruction.transposed and (instruction.stride, instruction.pad),
    )
