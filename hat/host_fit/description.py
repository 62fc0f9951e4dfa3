"""Write a machine as a description (TOML) that ``march.load`` can read."""

from __future__ import annotations

import json
from collections.abc import Iterator

from horizon.march import Machine
from horizon.march.keys import number
from horizon.march.limits import INPUT_TYPES

DIGITS = 4
LIMITS = "limits."


def description(machine: Machine, comment: str) -> str:
    """The text, with ``comment`` above it.

    Each number is written with its source; fitted numbers have four digits.
    """
    top, tables = _numbers(machine)
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"name = {_text(machine.name)}", f"title = {_text(machine.title)}"]
    lines += [f"units = {_names(machine.units)}", f"sequential = {_flag(machine.sequential)}", *top]
    for table, entries in tables.items():
        lines += ["", f"[{table}]"]
        if table == "memory":
            lines.append(f"constants_in_place = {_flag(machine.constants_in_place)}")
        if table.startswith(LIMITS):
            types = machine.limits[table.removeprefix(LIMITS)].get(INPUT_TYPES)
            lines += [f"{INPUT_TYPES} = {_names(types)}"] if isinstance(types, tuple) else []
        lines += entries
    return "\n".join(lines) + "\n"


def _numbers(machine: Machine) -> tuple[list[str], dict[str, list[str]]]:
    """The lines of the numbers: first those outside tables, then those of each table."""
    top: list[str] = []
    tables: dict[str, list[str]] = {"memory": []}
    for key, source in machine.sources.items():
        table, _, name = key.rpartition(".")
        value = number(machine, key)
        line = (
            f"{name} = {{ value = {_number(value, source.provenance)}, "
            f"provenance = {_text(source.provenance)}, source = {_text(source.text)} }}"
        )
        (tables.setdefault(table, []) if table else top).append(line)
    for op in machine.limits:  # A list of types has no source, and a table may hold nothing else.
        tables.setdefault(f"{LIMITS}{op}", [])
    return top, dict(_with_tables_of_tables_last(tables))


def _with_tables_of_tables_last(tables: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """The order of the file: a table's own keys come before the tables inside it."""
    return iter(sorted(tables.items(), key=lambda item: (_rank(item[0]), item[0].count("."))))


def _rank(table: str) -> int:
    order = ("memory", "load", "store", "tensor", "vector", "aux", "transform", "limits")
    return order.index(table.partition(".")[0])


def _number(value: float, provenance: str) -> str:
    if provenance == "fitted" and value:
        value = float(f"{value:.{DIGITS}g}")
    return f"{int(value):_}" if value == int(value) else repr(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _names(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _flag(value: bool) -> str:
    return "true" if value else "false"
