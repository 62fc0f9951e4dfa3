"""The records of a .hbm file as numpy types, which mirror ``csrc/hbm/format.h`` field by field."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class SectionKind(IntEnum):
    """The sections, in the order in which they stand in a file."""

    program = 1
    strings = 2
    tensors = 3
    instructions = 4
    constants = 5
    metadata = 6


HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("section_count", "<u4"),
        ("file_bytes", "<u8"),
        ("sections_crc", "<u4"),
        ("header_crc", "<u4"),
        ("zero", "u1", 32),
    ]
)
SECTION = np.dtype(
    [("kind", "<u4"), ("crc", "<u4"), ("offset", "<u8"), ("bytes", "<u8"), ("count", "<u8")]
)
PROGRAM = np.dtype(
    [
        ("name", "<u4"),
        ("march", "<u4"),
        ("input_count", "<u4"),
        ("output_count", "<u4"),
        ("sram_bytes", "<u8"),
        ("ddr_bytes", "<u8"),
        ("opt", "<u4"),
        ("size_multiple", "<u4"),
        ("zero", "u1", 24),
    ]
)
TENSOR = np.dtype(
    [
        ("name", "<u4"),
        ("type", "u1"),
        ("layout", "u1"),
        ("zero0", "<u2"),
        ("shape", "<u4", 4),
        ("scale_count", "<u4"),
        ("zero_point", "<i4"),
        ("scale_offset", "<u8"),
        ("zero1", "<u8"),
    ]
)
VIEW = np.dtype(
    [
        ("offset", "<u8"),
        ("shape", "<u4", 4),
        ("stride", "<u4", 4),
        ("space", "u1"),
        ("type", "u1"),
        ("index", "<u2"),
        ("zero", "<u4"),
    ]
)
CHANNEL = np.dtype(
    [("bias", "<i4"), ("multiplier", "<i4"), ("residual_multiplier", "<i4"), ("shift", "<i4")]
)
INSTRUCTION = np.dtype(
    [
        ("opcode", "u1"),
        ("unit", "u1"),
        ("zero0", "<u2"),
        ("layer", "<u4"),
        ("wait", "<u4", 6),
        ("out", VIEW),
        ("a", VIEW),
        ("b", VIEW),
        ("weight", VIEW),
        ("kernel", "<i4", 2),
        ("stride", "<i4", 2),
        ("dilation", "<i4", 2),
        ("pad", "<i4", 2),
        ("lo", "<i4"),
        ("hi", "<i4"),
        ("transposed", "<i4"),
        ("weight_layout", "<i4"),
        ("reach", "<i4"),
        ("fraction_bits", "<i4"),
        ("origin", "<i4", 2),
        ("zero1", "<i4", 4),
        ("table", "<u8"),
        ("table_count", "<u4"),
        ("zero2", "<u4"),
    ]
)
SCALE = np.dtype("<f8")


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
