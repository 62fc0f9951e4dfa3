"""The instruction set and its file, described once.

``enums`` has the numbers that files contain, ``instructions`` what each instruction takes,
``records`` how everything lies in a file, ``bounds`` the limits. From these
``python -m horizon.isa.generate`` makes the C++ header ``csrc/hbm/format.h``, the tables of
``docs/hbm_format.md`` and ``horizon/hbm/instruction.py``; ``horizon.hbm`` takes the rest as it is.
"""

from __future__ import annotations

from horizon.isa.enums import DataType, Layout, SectionKind, Space, Unit, WeightLayout
from horizon.isa.instructions import INSTRUCTIONS, Opcode, Operand, Operation
from horizon.isa.records import RECORDS, Field, Record

__all__ = [
    "INSTRUCTIONS",
    "RECORDS",
    "DataType",
    "Field",
    "Layout",
    "Opcode",
    "Operand",
    "Operation",
    "Record",
    "SectionKind",
    "Space",
    "Unit",
    "WeightLayout",
]
