"""The limits of programs, each with its name in C++ and its reason."""

from __future__ import annotations

from dataclasses import dataclass

MAGIC = b"HBMFLOW\0"
VERSION = 3
ALIGNMENT = 64
ROWS_OUTPUTS = 4
LOOKUP_ENTRIES = 2**8
MAX_MEMORY = 2**40
MAX_STRING = 2**12
MAX_OPT = 3
MAX_SIDE = 2**16
MAX_STEP = 2**8
MAX_PAD = 2**20
MAX_SPAN = 2**26
MAX_FRACTION_BITS = 8
MAX_MULTIPLIER = 2**24
MAX_SHIFT = 47
ACCUMULATOR_LIMIT = 2**28


@dataclass(frozen=True)
class Bound:
    """A limit as C++ has it.

    Attributes:
        name, type: of the constant.
        meaning: a comment of at most a line.
    """

    name: str
    type: str
    value: int
    meaning: str


BOUNDS = (
    Bound("kVersion", "std::uint32_t", VERSION, "of the file"),
    Bound("kAlignment", "std::size_t", ALIGNMENT, "of sections, constants and memory"),
    Bound("kLargestMemory", "std::uint64_t", MAX_MEMORY, "bytes; of arena and arrays"),
    Bound("kLongestString", "std::size_t", MAX_STRING, "bytes, without the NUL"),
    Bound("kHighestOpt", "std::uint32_t", MAX_OPT, "level of optimisation"),
    Bound("kLargestSide", "std::uint32_t", MAX_SIDE, "of views of windowed operators"),
    Bound("kLargestStep", "std::int32_t", MAX_STEP, "kernel, stride, dilation, reach"),
    Bound("kLargestPad", "std::int32_t", MAX_PAD, "in either direction"),
    Bound("kLargestSpan", "std::int32_t", MAX_SPAN, "step, offset, divisor of a resize"),
    Bound("kMostFractionBits", "std::int32_t", MAX_FRACTION_BITS, "of a place between pixels"),
    Bound("kLargestMultiplier", "std::int32_t", MAX_MULTIPLIER, "of a channel"),
    Bound("kLargestShift", "std::int32_t", MAX_SHIFT, "of a channel, at least 1"),
    Bound("kAccumulatorLimit", "std::uint64_t", ACCUMULATOR_LIMIT, "no accumulator reaches it"),
    Bound("kRowsOutputs", "std::uint32_t", ROWS_OUTPUTS, "at most, of weights in rows"),
    Bound("kLookupEntries", "std::uint32_t", LOOKUP_ENTRIES, "one for each value of int8"),
)
