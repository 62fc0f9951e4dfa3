"""A compiled program's instructions in numpy: slow, obviously right, in any legal order.

Memory is filled with a poison pattern first, so that a program that reads what nobody wrote gives
other numbers. ``random_order`` draws an order that the units and their waits allow; a program that
waits too little gives other numbers in some order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np

from horizon.hbir.fixed_point import LIMITS, requantize
from horizon.hbm.records import DataType, Instruction, Layout, Opcode, Program, Space, Unit, View
from horizon.hbm.records import WeightLayout as Weights

POISON = 0x5A
DTYPES = {
    DataType.int8: np.dtype("i1"),
    DataType.int16: np.dtype("<i2"),
    DataType.int32: np.dtype("<i4"),
    DataType.uint8: np.dtype("u1"),
}
CHANNEL = np.dtype(
    [
        *((name, "<i4") for name in ("bias", "multiplier", "residual_multiplier", "shift")),
        *((name, "<i4") for name in ("negative_multiplier", "negative_residual_multiplier")),
        ("count", "<i4"),
        ("zero", "<i4"),
    ]
)


def run_program(
    program: Program, inputs: Mapping[str, np.ndarray], order: Iterable[int] | None = None
) -> dict[str, np.ndarray]:
    """Carry out a program.

    Args:
        inputs: by name, in the layout and type that the program states.
        order: instruction numbers, see :func:`random_order`; the list's order if None.

    Returns:
        The outputs by name, in the layout and type that the program states.
    """
    memory = Memory(program, inputs)
    for number in range(len(program.instructions)) if order is None else order:
        execute(program.instructions[number], memory)
    return {
        tensor.name: memory.outputs[index].view(DTYPES[tensor.dtype]).reshape(tensor.shape)
        for index, tensor in enumerate(program.outputs)
    }


def random_order(program: Program, rng: np.random.Generator) -> list[int]:
    """A random order in which each unit keeps its own and every wait is met.

    Some units are drawn to hurry and others to lag, or the order would stay close to the list's.

    Raises:
        ValueError: no unit can go on: the waits are circular.
    """
    queues: dict[Unit, list[int]] = {unit: [] for unit in Unit}
    for number, instruction in enumerate(program.instructions):
        queues[instruction.unit].append(number)
    done = dict.fromkeys(Unit, 0)
    hurry = {unit: 10.0 ** rng.uniform(-3, 3) for unit in Unit}
    order: list[int] = []
    while len(order) < len(program.instructions):
        ready = [
            unit
            for unit, queue in queues.items()
            if done[unit] < len(queue) and _waits_met(program.instructions[queue[done[unit]]], done)
        ]
        if not ready:
            raise ValueError(f"no unit can go on after {done}")
        weights = np.array([hurry[unit] for unit in ready])
        unit = ready[rng.choice(len(ready), p=weights / weights.sum())]
        order.append(queues[unit][done[unit]])
        done[unit] += 1
    return order


def _waits_met(instruction: Instruction, done: Mapping[Unit, int]) -> bool:
    return all(done[Unit(unit)] >= count for unit, count in enumerate(instruction.waits))


class Memory:
    """The spaces of a program as bytes."""

    def __init__(self, program: Program, inputs: Mapping[str, np.ndarray]) -> None:
        self.sram = np.full(program.sram_bytes, POISON, np.uint8)
        self.ddr = np.full(program.ddr_bytes, POISON, np.uint8)
        self.constants = np.frombuffer(program.constants, np.uint8)
        self.inputs = []
        for tensor in program.inputs:
            values = np.ascontiguousarray(inputs[tensor.name])
            assert values.dtype == DTYPES[tensor.dtype], tensor.name
            assert values.shape == tuple(tensor.shape), tensor.name
            self.inputs.append(values.reshape(-1).view(np.uint8))
        self.outputs = [
            np.full(int(np.prod(tensor.shape)) * DTYPES[tensor.dtype].itemsize, POISON, np.uint8)
            for tensor in program.outputs
        ]

    def view(self, view: View) -> np.ndarray:
        """The elements of a view, in place; numpy refuses what is outside of the space."""
        space = {
            Space.constant: [self.constants],
            Space.input: self.inputs,
            Space.output: self.outputs,
            Space.ddr: [self.ddr],
            Space.sram: [self.sram],
        }[view.space][view.index]
        return np.ndarray(view.shape, DTYPES[view.dtype], space, view.offset, view.strides)

    def table(self, instruction: Instruction) -> np.ndarray:
        """The channel table: int64 (6, table_count), in the order of CHANNEL's first fields."""
        entries = self.entries(instruction)
        return np.array([entries[name] for name in CHANNEL.names[:6]], np.int64)

    def entries(self, instruction: Instruction) -> np.ndarray:
        """The channel table as it is in the file."""
        size = instruction.table_count * CHANNEL.itemsize
        data = self.constants[instruction.table : instruction.table + size].tobytes()
        return np.frombuffer(data, CHANNEL)


def execute(instruction: Instruction, memory: Memory) -> None:
    """One instruction: read everything, compute in int64, write."""
    out = memory.view(instruction.out)
    if instruction.opcode in (Opcode.load, Opcode.store, Opcode.copy):
        values = memory.view(instruction.a).astype(np.int64)
        if instruction.a.dtype == DataType.uint8 and instruction.out.dtype == DataType.int8:
            values -= 128
    else:
        values = COMPUTE[instruction.opcode](instruction, memory)
    assert values.shape == out.shape, (instruction, values.shape)
    limits = np.iinfo(out.dtype)
    assert limits.min <= values.min() <= values.max() <= limits.max, instruction
    out[...] = values


def conv(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See ConvArgs in csrc/kernels/kernels.h. Exact in float64: sums stay below 2^28."""
    x = memory.view(instruction.a).astype(np.float64)
    shape = instruction.out.shape
    weight = _weight(instruction, memory).astype(np.float64)
    acc = np.zeros(shape)
    for ky, kx in product(*map(range, instruction.kernel)):
        rows = _taps(instruction, ky, 0)
        columns = _taps(instruction, kx, 1)
        taken = _take(x, rows, columns)
        if instruction.weight_layout == Weights.depthwise:
            acc += taken * weight[:, ky, kx, 0]
        else:
            acc += taken @ weight[:, ky, kx].T
    residual = None if instruction.b is None else memory.view(instruction.b)
    return rounded(instruction, memory, acc.astype(np.int64), residual)


def rounded(
    instruction: Instruction, memory: Memory, acc: np.ndarray, second: np.ndarray | None = None
) -> np.ndarray:
    """The one rounding of everything but a warp, with one slope or two."""
    bias, multiplier, factor, shift, below, factor_below = memory.table(instruction)
    acc = acc.astype(np.int64) + bias
    assert instruction.weight is None or np.abs(acc).max() < 2**28
    other = np.zeros((), np.int64) if second is None else second.astype(np.int64)
    total = acc * multiplier + other * factor
    if instruction.two_slopes:
        total = np.where(total < 0, acc * below + other * factor_below, total)
    else:
        assert not below.any()
        assert not factor_below.any()
    half = np.int64(1) << (shift - 1)
    return np.clip((total + half) >> shift, instruction.lo, instruction.hi)


def _taps(instruction: Instruction, tap: int, axis: int) -> np.ndarray:
    """The input row (axis 0) or column (axis 1) of each of the output; -1: there is none."""
    out = np.arange(instruction.out.shape[1 + axis])
    stride, pad = instruction.stride[axis], instruction.pad[axis]
    if instruction.transposed:
        place = out + pad - tap
        return np.where(place % stride == 0, place // stride, -1)
    return out * stride - pad + tap * instruction.dilation[axis]


def _take(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The pixels of x (N, H, W, C) at rows x columns, 0 outside of x."""
    _, height, width, _ = x.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    taken = x[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)]
    return taken * inside[:, :, None]


def _weight(instruction: Instruction, memory: Memory) -> np.ndarray:
    """(O, kh, kw, I) from the bytes, see WeightLayout in csrc/hbm/format.h."""
    assert instruction.weight is not None
    data = memory.view(instruction.weight).reshape(-1)
    outputs, inputs = instruction.out.shape[3], instruction.a.shape[3]
    kh, kw = instruction.kernel
    if instruction.weight_layout == Weights.blocked:
        groups, quads = -(-outputs // 16), -(-inputs // 4)
        blocks = data.reshape(groups, kh, kw, quads, 16, 4)
        whole = blocks.transpose(0, 4, 1, 2, 3, 5).reshape(groups * 16, kh, kw, quads * 4)
    elif instruction.weight_layout == Weights.depthwise:
        assert outputs == inputs
        inputs = 1
        whole = data.reshape(-1, kh, kw, 64, 1).transpose(0, 3, 1, 2, 4).reshape(-1, kh, kw, 1)
    else:
        whole = data.reshape(outputs, kh, kw, -(-inputs // 64) * 64)
    assert not whole[outputs:].any()
    assert not whole[..., inputs:].any()
    return whole[:outputs, :, :, :inputs]


def correlation(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See CorrelationArgs in csrc/kernels/kernels.h."""
    assert instruction.b is not None
    a = memory.view(instruction.a).astype(np.int64)
    b = memory.view(instruction.b).astype(np.int64)
    _, height, width, _ = a.shape
    side = range(2 * instruction.reach + 1)
    top, left = instruction.pad
    volume = [
        (a * _take(b, np.arange(height) + ky - top, np.arange(width) + kx - left)).sum(-1)
        for ky, kx in product(side, side)
    ]
    return rounded(instruction, memory, np.stack(volume, -1))


def warp(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See WarpArgs in csrc/kernels/kernels.h."""
    assert instruction.b is not None
    feature = memory.view(instruction.a).astype(np.int64)
    bits = instruction.fraction_bits
    _, multiplier, _, shift, *_ = memory.table(instruction)
    steps = requantize(memory.view(instruction.b), multiplier, shift, *LIMITS["int16"])
    batch, rows, columns, _ = instruction.out.shape
    _, height, width, _ = feature.shape
    x = ((instruction.origin[1] + np.arange(columns)) << bits) + steps[..., 0]
    y = ((instruction.origin[0] + np.arange(rows)[:, None]) << bits) + steps[..., 1]
    total = np.zeros(instruction.out.shape, np.int64)
    for below, right in product((0, 1), (0, 1)):
        row, column = (y >> bits) + below, (x >> bits) + right
        # The weight of a tap is 2^F less its distance, in each direction.
        weight = (1 << bits) - np.abs(y - (row << bits))
        weight = weight * ((1 << bits) - np.abs(x - (column << bits)))
        weight *= (row >= 0) & (row < height) & (column >= 0) & (column < width)
        images = np.arange(batch)[:, None, None]
        tap = feature[images, row.clip(0, height - 1), column.clip(0, width - 1)]
        total += tap * weight[..., None]
    return (total + ((1 << 2 * bits) >> 1)) >> 2 * bits


def rescale(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See RescaleArgs in csrc/kernels/kernels.h."""
    return rounded(instruction, memory, memory.view(instruction.a))


def add(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See AddArgs in csrc/kernels/kernels.h."""
    assert instruction.b is not None
    return rounded(instruction, memory, memory.view(instruction.a), memory.view(instruction.b))


def mul(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See MulArgs in csrc/kernels/kernels.h."""
    assert instruction.b is not None
    a, b = (memory.view(view).astype(np.int64) for view in (instruction.a, instruction.b))
    return rounded(instruction, memory, a * b)


def matmul(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See MatMulArgs in csrc/kernels/kernels.h. One group of channels after the other."""
    assert instruction.b is not None
    a, b = (memory.view(view).astype(np.int64) for view in (instruction.a, instruction.b))
    b = b.reshape(len(b), -1, b.shape[3])
    pixels = b.shape[1]
    many = instruction.out if instruction.transposed else instruction.a
    groups = many.shape[3] // pixels
    own = b.shape[2] // groups
    parts = []
    for g in range(groups):
        channels, places = slice(g * own, (g + 1) * own), slice(g * pixels, (g + 1) * pixels)
        if instruction.transposed:
            parts.append(np.einsum("nyxc,njc->nyxj", a[..., channels], b[..., channels]))
        else:
            parts.append(np.einsum("nyxj,njo->nyxo", a[..., places], b[..., channels]))
    acc = np.concatenate(parts, -1)
    assert np.abs(acc).max() < 2**28
    return rounded(instruction, memory, acc)


def transpose(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See TransposeArgs in csrc/kernels/kernels.h. One element of the output after the other."""
    x, out = memory.view(instruction.a), np.zeros(instruction.out.shape, np.int64)
    _, height, width, _ = x.shape
    made = out.shape[1] * out.shape[2]
    for place in product(*map(range, out.shape)):
        n, row, column, channel = place
        group, pixel = divmod(channel, height * width)
        source = group * made + row * out.shape[2] + column
        out[place] = x[n, pixel // width, pixel % width, source]
    return out


def max_pool(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See PoolArgs in csrc/kernels/kernels.h. What is outside of the part loses every time."""
    x = memory.view(instruction.a).astype(np.int64)
    _, height, width, _ = x.shape
    lowest = np.iinfo(np.int64).min
    found = np.full(instruction.out.shape, lowest)
    for ky, kx in product(*map(range, instruction.kernel)):
        rows, columns = _taps(instruction, ky, 0), _taps(instruction, kx, 1)
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
        taken = x[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)]
        found = np.maximum(found, np.where(inside[:, :, None], taken, lowest))
    return found


def lookup(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See LookupArgs in csrc/kernels/kernels.h."""
    dtype = DTYPES[instruction.out.dtype]
    size = 256 * dtype.itemsize
    data = memory.constants[instruction.table : instruction.table + size].tobytes()
    assert instruction.table_count == 256
    return np.frombuffer(data, dtype)[memory.view(instruction.a).astype(np.int64) + 128]


def avg_pool(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See AvgPoolArgs in csrc/kernels/kernels.h. One pixel after the other."""
    x, table = memory.view(instruction.a).astype(np.int64), memory.entries(instruction)
    found = np.zeros(instruction.out.shape, np.int64)
    for y, column in product(*map(range, instruction.out.shape[1:3])):
        count, inside = 1, []
        for axis, place in enumerate((y, column)):
            taps = np.arange(instruction.kernel[axis]) - instruction.pad[axis]
            taps += place * instruction.stride[axis]
            side, margin = x.shape[1 + axis], instruction.margin[axis]
            count *= int(((taps >= -margin) & (taps < side + margin)).sum())
            inside.append(taps[(taps >= 0) & (taps < side)])
        total = x[:, inside[0]][:, :, inside[1]].sum((1, 2))
        assert np.abs(total).max() < 2**28
        (entry,) = table if len(table) == 1 else table[table["count"] == count]
        half = 1 << int(entry["shift"] - 1)
        found[:, y, column] = (total * int(entry["multiplier"]) + half) >> int(entry["shift"])
    return np.clip(found, instruction.lo, instruction.hi)


def resize(instruction: Instruction, memory: Memory) -> np.ndarray:
    """See ResizeArgs in csrc/kernels/kernels.h. Rows of the whole input are those of the part."""
    x = memory.view(instruction.a).astype(np.int64)
    bits = instruction.fraction_bits
    taps = []
    for axis in (0, 1):
        step, offset, divisor, last, origin, pad = (
            getattr(instruction, name)[axis]
            for name in ("step", "offset", "divisor", "last", "origin", "pad")
        )
        row = origin + np.arange(instruction.out.shape[1 + axis])
        place = ((step * row + offset) // divisor).clip(0, last << bits)
        weight = place & ((1 << bits) - 1)
        first = (place >> bits) + pad
        second = first if not bits else np.minimum((place >> bits) + 1, last) + pad
        assert first.min() >= 0
        assert second.max() < x.shape[1 + axis]
        taps.append(((first, (1 << bits) - weight), (second, weight)))
    total = np.zeros(instruction.out.shape, np.int64)
    for (rows, down), (columns, right) in product(*taps):
        total += x[:, rows][:, :, columns] * (down[:, None, None] * right[:, None])
    return (total + ((1 << 2 * bits) >> 1)) >> 2 * bits


COMPUTE = {
    Opcode.conv: conv,
    Opcode.correlation: correlation,
    Opcode.warp: warp,
    Opcode.rescale: rescale,
    Opcode.add: add,
    Opcode.mul: mul,
    Opcode.matmul: matmul,
    Opcode.transpose: transpose,
    Opcode.max_pool: max_pool,
    Opcode.avg_pool: avg_pool,
    Opcode.resize: resize,
    Opcode.lookup: lookup,
}


def to_file(program: Program, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A graph's inputs, integers (N, H, W, C), as the program's files hold them."""
    result = {}
    for tensor in program.inputs:
        array = np.asarray(values[tensor.name], np.int64)
        if tensor.dtype == DataType.uint8:
            array = array + 128
        if tensor.layout == Layout.nchw:
            array = array.transpose(0, 3, 1, 2)
        result[tensor.name] = np.ascontiguousarray(array).astype(DTYPES[tensor.dtype])
    return result


def from_file(program: Program, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A program's outputs as the graph's integers (N, H, W, C)."""
    result = {}
    for tensor in program.outputs:
        array = values[tensor.name].astype(np.int64)
        nchw = tensor.layout == Layout.nchw
        result[tensor.name] = array.transpose(0, 2, 3, 1) if nchw else array
    return result
