"""The records of a .hbm file as numpy types, from ``horizon.isa``."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.isa.enums import SectionKind
from horizon.isa.records import RECORDS, Field

__all__ = [
    "CHANNEL",
    "HEADER",
    "INSTRUCTION",
    "PROGRAM",
    "SCALE",
    "SECTION",
    "TENSOR",
    "VIEW",
    "SectionKind",
    "round_up",
]

_NUMBERS = {"u8": "u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i32": "<i4"}


def _dtype(name: str) -> np.dtype:
    """The numpy type of a record."""
    return np.dtype([_column(field) for field in RECORDS[name].fields])


def _column(field: Field) -> tuple[Any, ...]:
    if field.type == "char":
        return (field.name, f"S{field.count}")
    kind = _dtype(field.type) if field.type in RECORDS else _NUMBERS[field.number]
    return (field.name, kind, field.count) if field.count > 1 else (field.name, kind)


HEADER = _dtype("Header")
SECTION = _dtype("Section")
PROGRAM = _dtype("ProgramRecord")
TENSOR = _dtype("TensorRecord")
VIEW = _dtype("View")
CHANNEL = _dtype("Channel")
INSTRUCTION = _dtype("InstructionRecord")
SCALE = np.dtype("<f8")


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
