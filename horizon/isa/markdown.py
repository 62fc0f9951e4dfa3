"""The tables of ``docs/hbm_format.md``, between ``<!-- isa NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum

from horizon.errors import InputError
from horizon.isa.enums import DataType, Layout, SectionKind, Space, Unit, meaning_of
from horizon.isa.instructions import INSTRUCTIONS, Opcode, Operand
from horizon.isa.records import RECORDS, Field

_MARKED = re.compile(r"<!-- isa (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
_MEMBERS: dict[str, type[IntEnum]] = {"SectionKind": SectionKind, "Layout": Layout}


def filled(document: str) -> str:
    """The document with every marked table made anew.

    Raises:
        InputError: a mark names no table, or a table has no mark.
    """
    found = [match[1] for match in _MARKED.finditer(document)]
    if sorted(found) != sorted(TABLES):
        raise InputError(f"tables {found} are marked; expected each of {list(TABLES)} once")
    return _MARKED.sub(
        lambda match: f"<!-- isa {match[1]} -->\n{TABLES[match[1]]()}<!-- end -->", document
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n"

    names = list(head)
    return line(names) + "|---" * len(names) + "|\n" + "".join(map(line, rows))


def _type(field: Field) -> str:
    return field.number + (f"[{field.count}]" if field.count > 1 else "")


def _record(name: str) -> Callable[[], str]:
    def rows() -> Iterable[list[str]]:
        record = RECORDS[name]
        for field in record.fields:
            meaning = field.meaning
            if field.type in _MEMBERS:
                members = _MEMBERS[field.type]
                meaning = ", ".join(f"{member.value} {member.name}" for member in members)
            yield [str(record.offsets[field.name]), _type(field), field.name, meaning]

    return lambda: _table(("offset", "type", "field", "meaning"), rows())


def _users(field: Field) -> str:
    """The opcodes that use a field; what else a reader wants to know of it."""
    if field.form == "zero":
        return ""
    if field.name in ("opcode", "unit", "wait", "out", "a"):
        return "all"
    if field.form == "text":
        return "all: string"
    users = []
    for opcode, operation in INSTRUCTIONS.items():
        operand = operation.operands.get(field.name)
        if operand:
            users.append(f"{opcode.name} (optional)" if operand.optional else opcode.name)
        elif field.name in operation.fields:
            users.append(opcode.name)
    text = ", ".join(users) or "none"
    return f"{text}: {field.meaning}" if field.meaning and field.form != "view" else text


def _elsewhere(field: Field) -> str:
    if field.form in ("text", "waits") or field.name in ("opcode", "unit", "out", "a"):
        return ""
    if field.form == "view":
        return "missing"
    return ", ".join([str(field.default)] * field.count) if field.form == "pair" else "0"


def _instruction() -> str:
    record = RECORDS["InstructionRecord"]
    return _table(
        ("offset", "type", "field", "used by", "elsewhere"),
        (
            [
                str(record.offsets[field.name]),
                _type(field),
                field.name,
                _users(field),
                _elsewhere(field),
            ]
            for field in record.fields
        ),
    )


def _names(members: Iterable[IntEnum]) -> str:
    return ", ".join(member.name for member in sorted(members))


def _types() -> str:
    rows = ([f"{member.value} {member.name}", f"{member.size}"] for member in DataType)
    return _table(("type", "bytes"), rows)


def _spaces() -> str:
    rows = ([f"{space.value} {space.name}", meaning_of(space)] for space in Space)
    return _table(("space", "what it is"), rows)


def _units() -> str:
    rows = (
        [
            f"{unit.value} {unit.name}",
            ", ".join(
                f"{opcode.value} {opcode.name}"
                for opcode in Opcode
                if INSTRUCTIONS[opcode].unit is unit
            ),
        ]
        for unit in Unit
    )
    return _table(("unit", "opcodes"), rows)


def _instructions() -> str:
    def text(operand: Operand | None) -> str:
        if operand is None:
            return ""
        types = "any" if operand.types == set(DataType) else _names(operand.types)
        return f"{types} in {_names(operand.spaces)}" + (", or missing" * operand.optional)

    rows = (
        [
            f"{opcode.value} {opcode.name}",
            *(text(operation.operands.get(name)) for name in ("out", "a", "b", "weight")),
        ]
        for opcode, operation in INSTRUCTIONS.items()
    )
    return _table(("opcode", "out", "a", "b", "weight"), rows)


TABLES: dict[str, Callable[[], str]] = {
    **{name: _record(name) for name in RECORDS if name != "InstructionRecord"},
    "InstructionRecord": _instruction,
    "types": _types,
    "spaces": _spaces,
    "units": _units,
    "operands": _instructions,
}
