"""``horizon/hbm/instruction.py`` from the tables: a class that type checkers can read."""

from __future__ import annotations

from horizon.isa.records import RECORDS, Field

_BEGIN = '''\
"""One instruction of a program. Made by ``python -m horizon.isa.generate``: change horizon/isa."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.hbm.view import Pair, View
from horizon.isa.enums import Unit, WeightLayout
from horizon.isa.instructions import Opcode


@dataclass(frozen=True)
class Instruction:
    """Fields that an opcode does not use keep their defaults.

    Attributes:
        layer: the layer that it belongs to.
        waits: for each unit, how many of its instructions must have completed before.
'''


def instruction_module() -> str:
    """The file. Its fields are those of ``InstructionRecord``, but for reserved ones."""
    fields = [field for field in RECORDS["InstructionRecord"].fields if field.form != "zero"]
    described = [
        f"        {field.name}: {field.meaning}.\n"
        for field in fields
        if field.form in ("number", "pair", "flag")
    ]
    lines = [f"    {line}\n" for line in map(_line, fields)]
    return "".join([_BEGIN, *described, '    """\n\n', *lines])


def _line(field: Field) -> str:
    default = f"({field.default}, {field.default})" if field.form == "pair" else f"{field.default}"
    special = {
        "opcode": "opcode: Opcode",
        "unit": "unit: Unit",
        "layer": "layer: str",
        "wait": "waits: tuple[int, ...]",
        "out": "out: View",
        "a": "a: View",
        "weight_layout": "weight_layout: WeightLayout = WeightLayout.blocked",
    }
    if field.name in special:
        return special[field.name]
    kinds = {
        "view": f"{field.name}: View | None = None",
        "pair": f"{field.name}: Pair = {default}",
        "flag": f"{field.name}: bool = {bool(field.default)}",
    }
    return kinds.get(field.form, f"{field.name}: int = {default}")
