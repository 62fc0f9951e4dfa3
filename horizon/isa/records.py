"""The records of a file: fields of fixed size, little-endian, without gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from horizon.isa.bounds import (
    MAX_FRACTION_BITS,
    MAX_MULTIPLIER,
    MAX_PAD,
    MAX_SHIFT,
    MAX_SIDE,
    MAX_SPAN,
    MAX_STEP,
    VERSION,
)
from horizon.isa.enums import SectionKind, Unit

SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i32": 4, "char": 1}
# Enumerations as records hold them. ``Type`` is ``DataType`` in Python.
ENUM_TYPES = {
    "SectionKind": "u32",
    "Type": "u8",
    "Layout": "u8",
    "Space": "u8",
    "Unit": "u8",
    "Opcode": "u8",
    "WeightLayout": "i32",
}
# How an instruction of Python holds a field.
Form = Literal["number", "pair", "flag", "enum", "view", "text", "waits", "zero"]


@dataclass(frozen=True)
class Field:
    """A field of a record.

    Attributes:
        type: a number (``u8``, ``i32``, ...), an enumeration or a record of this module.
        count: of elements; 1 is no array.
        meaning: one line, with the range where that is not ``low..high``.
        form: of an instruction's field: how Python has it.
        default: of an instruction's field: its value where an instruction does not use it.
        low, high: the values that it may have, where it is used.
    """

    name: str
    type: str
    meaning: str = ""
    count: int = 1
    form: Form = "number"
    default: int = 0
    low: int | None = None
    high: int | None = None

    @property
    def number(self) -> str:
        """The type as a number."""
        return ENUM_TYPES.get(self.type, self.type)

    @property
    def size(self) -> int:
        """Bytes."""
        one = RECORDS[self.type].size if self.type in RECORDS else SIZES[self.number]
        return one * self.count


@dataclass(frozen=True)
class Record:
    """A record, named as in C++."""

    name: str
    meaning: str
    fields: tuple[Field, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(field.size for field in self.fields)

    @property
    def offsets(self) -> dict[str, int]:
        """The offset of each field from the record's start, in bytes."""
        result, end = {}, 0
        for field in self.fields:
            result[field.name] = end
            end += field.size
        return result

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)


def _zero(name: str, type: str, count: int = 1) -> Field:
    return Field(name, type, "0", count, "zero")


def _pair(name: str, meaning: str, default: int, low: int, high: int) -> Field:
    return Field(name, "i32", meaning, 2, "pair", default, low, high)


def _flag(name: str, meaning: str) -> Field:
    return Field(name, "i32", meaning, form="flag", low=0, high=1)


def _view(name: str) -> Field:
    return Field(name, "View", "operand", form="view")


def _number(name: str, meaning: str, low: int, high: int) -> Field:
    return Field(name, "i32", meaning, low=low, high=high)


_HEADER = (
    Field("magic", "char", "`HBMFLOW\\0`", 8),
    Field("version", "u32", f"{VERSION}"),
    Field("section_count", "u32", f"{len(SectionKind)}"),
    Field("file_bytes", "u64", "size of the file"),
    Field("sections_crc", "u32", "of the section table"),
    Field("header_crc", "u32", "of the header with this field 0"),
    _zero("zero", "u8", 32),
)
_SECTION = (
    Field("kind", "SectionKind", "the section"),
    Field("crc", "u32", "of the section's bytes"),
    Field("offset", "u64", "in the file"),
    Field("bytes", "u64", "size of the section"),
    Field("count", "u64", "records; bytes where a section has none"),
)
_PROGRAM = (
    Field("name", "u32", "string"),
    Field("march", "u32", "string: the machine it was compiled for"),
    Field("input_count", "u32", "at least 1"),
    Field("output_count", "u32", "at least 1"),
    Field("sram_bytes", "u64", "of the arena"),
    Field("ddr_bytes", "u64", "sum with sram_bytes: at most 2^40"),
    Field("opt", "u32", "0..3"),
    Field("size_multiple", "u32", "of the images' height and width, at least 1"),
    _zero("zero", "u8", 24),
)
_TENSOR = (
    Field("name", "u32", "string, unique among the inputs, and among the outputs"),
    Field("type", "Type", "of the elements"),
    Field("layout", "Layout", "without gaps"),
    _zero("zero0", "u16"),
    Field("shape", "u32", "in the order of the layout; at most 2^40 bytes", 4),
    Field("scale_count", "u32", "1 or the number of channels"),
    Field("zero_point", "i32", "128 for uint8, otherwise 0"),
    Field("scale_offset", "u64", "in constants"),
    _zero("zero1", "u64"),
)
_VIEW = (
    Field("offset", "u64", "bytes from the start of the space, or of the input or output"),
    Field("shape", "u32", "N, H, W, C; 1..2^31-1", 4),
    Field("stride", "u32", "bytes", 4),
    Field("space", "Space", "the memory"),
    Field("type", "Type", "of the elements"),
    Field("index", "u16", "which input or output; otherwise 0"),
    _zero("zero", "u32"),
)
_CHANNEL = (
    Field("bias", "i32", "conv: magnitude below 2^28; otherwise 0"),
    _number("multiplier", "0..2^24", 0, MAX_MULTIPLIER),
    _number(
        "residual_multiplier",
        "0..2^24 for add and for conv with a residual; otherwise 0",
        0,
        MAX_MULTIPLIER,
    ),
    _number("shift", f"1..{MAX_SHIFT}", 1, MAX_SHIFT),
    _number(
        "negative_multiplier",
        "-2^24..2^24 with two_slopes; otherwise 0",
        -MAX_MULTIPLIER,
        MAX_MULTIPLIER,
    ),
    _number(
        "negative_residual_multiplier",
        "the same with a second summand; otherwise 0",
        -MAX_MULTIPLIER,
        MAX_MULTIPLIER,
    ),
    _number(
        "count",
        "avg_pool with several entries: the elements of its windows; otherwise 0",
        1,
        MAX_STEP**2,
    ),
    _zero("zero", "i32"),
)
_INSTRUCTION = (
    Field("opcode", "Opcode", form="enum"),
    Field("unit", "Unit", form="enum"),
    _zero("zero0", "u16"),
    Field("layer", "u32", "string", form="text"),
    Field("wait", "u32", "that each unit must have completed", len(Unit), "waits"),
    *(_view(name) for name in ("out", "a", "b", "weight")),
    _pair("kernel", "(y, x)", 1, 1, MAX_STEP),
    _pair("stride", "(y, x)", 1, 1, MAX_STEP),
    _pair("dilation", "(y, x)", 1, 1, MAX_STEP),
    _pair("pad", "(top, left), may be negative", 0, -MAX_PAD, MAX_PAD),
    _number("lo", "lower limit of the output", -(2**31), 2**31 - 1),
    _number("hi", "upper limit of the output", -(2**31), 2**31 - 1),
    _flag("transposed", "0 or 1: a transposed convolution; matmul: b is transposed"),
    Field("weight_layout", "WeightLayout", form="enum"),
    _number("reach", "largest displacement", 0, MAX_STEP),
    _number("fraction_bits", "fraction bits of a sampling position", 0, MAX_FRACTION_BITS),
    _pair("origin", "(y, x) of the output's first pixel in the map", 0, 0, MAX_SIDE),
    _flag("two_slopes", "0 or 1: whether negative sums have their own multipliers"),
    _pair("step", "(y, x): position = (step * pixel + offset) / divisor", 0, 0, MAX_SPAN),
    _pair("offset", "(y, x): see step", 0, -MAX_SPAN, MAX_SPAN),
    _pair("divisor", "(y, x): see step", 0, 1, MAX_SPAN),
    _pair("last", "(y, x) of the whole input's last pixel", 0, 0, MAX_SIDE - 1),
    _pair("margin", "(y, x): rows and columns around `a` that count as elements", 0, 0, MAX_STEP),
    _zero("zero1", "i32"),
    Field(
        "table",
        "u64",
        "offset of Channel entries (lookup: of out's type) in constants, a multiple of 32",
    ),
    Field(
        "table_count",
        "u32",
        "entries: 1 or one per channel; avg_pool: one per element count; lookup: 256",
    ),
    _zero("zero2", "u32"),
)

RECORDS = {
    record.name: record
    for record in (
        Record("Header", "the start of a file", _HEADER),
        Record("Section", "an entry of the section table", _SECTION),
        Record("ProgramRecord", "the whole", _PROGRAM),
        Record("TensorRecord", "an input or output", _TENSOR),
        Record(
            "View",
            "A box of a memory, NHWC: (n, y, x, c) is at offset + n s0 + y s1 + x s2 + c s3 bytes.",
            _VIEW,
        ),
        Record("Channel", "One output channel's arithmetic.", _CHANNEL),
        Record(
            "InstructionRecord",
            "One instruction. What an opcode does not use is 0, or 1 in kernel, stride, dilation.",
            _INSTRUCTION,
        ),
    )
}
