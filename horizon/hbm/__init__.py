"""Compiled programs: ``records`` has their parts, ``docs/hbm_format.md`` the file and the rules.

``python -m horizon.hbm FILE`` prints a program as text.
"""

from __future__ import annotations

from horizon.hbm.disassemble import disassemble
from horizon.hbm.reader import from_bytes, read, read_metadata
from horizon.hbm.records import (
    RANDOM_WEIGHTS,
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
from horizon.hbm.weights import (
    channel_table,
    layout_for,
    pack_weights,
    packed_bytes,
    unpack_weights,
)
from horizon.hbm.writer import to_bytes, write

__all__ = [
    "RANDOM_WEIGHTS",
    "DataType",
    "Instruction",
    "IoTensor",
    "Layout",
    "Opcode",
    "Program",
    "Space",
    "Unit",
    "View",
    "WeightLayout",
    "channel_table",
    "disassemble",
    "from_bytes",
    "layout_for",
    "pack_weights",
    "packed_bytes",
    "read",
    "read_metadata",
    "to_bytes",
    "unpack_weights",
    "write",
]
