"""What the channel entries of an instruction require (``docs/hbm_format.md``)."""

from __future__ import annotations

from itertools import product

import numpy as np

from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT, MULTIPLIER_LIMIT, SHIFT_RANGE
from horizon.hbm.records import Instruction, Opcode
from horizon.hbm.require import fail, require
from horizon.isa.bounds import MAX_STEP


def check_table(instruction: Instruction, table: np.ndarray, where: str) -> None:
    """Check an instruction's channel entries; see :func:`horizon.hbm.rules.check_rules`."""
    opcode, count, channels = instruction.opcode, len(table), instruction.out.shape[3]
    counts = {channels} if opcode is Opcode.conv else {1}
    if opcode is Opcode.rescale:
        counts |= {channels}
    found = f"{count} channel entries"
    if opcode is Opcode.avg_pool:
        _check_counts(instruction, table["count"], where)
    else:
        require(count in counts, where, found, " or ".join(map(str, sorted(counts))))
        _check_column(table["count"], 0, 0, "count", where)
    low, high = SHIFT_RANGE
    _check_column(table["shift"], low, high, "shift", where)
    _check_column(table["multiplier"], 0, MULTIPLIER_LIMIT, "multiplier", where)
    bias = ACCUMULATOR_LIMIT - 1 if opcode is Opcode.conv else 0
    _check_column(table["bias"], -bias, bias, "bias", where)
    two = opcode is Opcode.add or (opcode is Opcode.conv and instruction.b is not None)
    highest = MULTIPLIER_LIMIT if two else 0
    _check_column(table["residual_multiplier"], 0, highest, "residual multiplier", where)
    steep = MULTIPLIER_LIMIT if instruction.two_slopes else 0
    _check_column(table["negative_multiplier"], -steep, steep, "negative multiplier", where)
    steep = steep if two else 0
    column = table["negative_residual_multiplier"]
    _check_column(column, -steep, steep, "negative residual multiplier", where)
    if table["zero"].any():
        fail(where, "a reserved field of a channel that is not 0", "0")


def _check_counts(instruction: Instruction, counts: np.ndarray, where: str) -> None:
    """One entry for all windows, or one for each number of elements that a window has."""
    require(len(counts) > 0, where, "no channel entry", "at least one")
    if len(counts) == 1:
        _check_column(counts, 0, 0, "count", where)
        require(instruction.margin == (0, 0), where, f"margin {instruction.margin}", "(0, 0)")
        return
    _check_column(counts, 1, MAX_STEP**2, "count", where)
    if (np.diff(counts) <= 0).any():
        fail(where, f"counts {counts.tolist()}", "ascending ones")
    for height, width in product(*(_window_elements(instruction, axis) for axis in (0, 1))):
        if height * width not in counts:
            found = f"a window of {height} x {width} elements"
            fail(where, found, f"an entry for {height * width}, besides {counts.tolist()}")


def _window_elements(instruction: Instruction, axis: int) -> list[int]:
    """The numbers of rows (axis 0) or columns that windows have in the map and its margin."""
    margin, kernel = instruction.margin[axis], instruction.kernel[axis]
    places = np.arange(instruction.out.shape[1 + axis], dtype=np.int64)
    begin = places * instruction.stride[axis] - instruction.pad[axis]
    end = np.minimum(begin + kernel, instruction.a.shape[1 + axis] + margin)
    return np.unique(end - np.maximum(begin, -margin)).tolist()


def _check_column(values: np.ndarray, low: int, high: int, name: str, where: str) -> None:
    bad = (values < low) | (values > high)
    if bad.any():
        channel = int(bad.argmax())
        fail(where, f"{name} {values[channel]} of channel {channel}", f"{low}..{high}")
