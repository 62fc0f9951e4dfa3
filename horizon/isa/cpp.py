"""``csrc/hbm/format.h`` from the tables."""

from __future__ import annotations

from enum import IntEnum

from horizon.isa.bounds import BOUNDS, MAGIC
from horizon.isa.enums import (
    DataType,
    Layout,
    SectionKind,
    Space,
    Unit,
    WeightLayout,
    meaning_of,
)
from horizon.isa.instructions import INSTRUCTIONS, Opcode
from horizon.isa.records import ENUM_TYPES, RECORDS, Field, Record

ENUMS: dict[str, type[IntEnum]] = {
    "SectionKind": SectionKind,
    "Type": DataType,
    "Layout": Layout,
    "Space": Space,
    "Unit": Unit,
    "Opcode": Opcode,
    "WeightLayout": WeightLayout,
}
_NUMBERS = {
    "u8": "std::uint8_t",
    "u16": "std::uint16_t",
    "u32": "std::uint32_t",
    "u64": "std::uint64_t",
    "i32": "std::int32_t",
    "char": "char",
}
_COLUMNS = 100

_BEGIN = """\
// The compiled program as it lies in a .hbm file: little-endian records of fixed size.
//
// Made by `python -m horizon.isa.generate` from the tables of horizon/isa: change those.
// docs/hbm_format.md describes the fields. The structures have no padding of their own, so that a
// validated section can be read in place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace horizon {
"""

_SIZE_OF = """\
inline constexpr std::uint64_t round_up(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}
"""


def header() -> str:
    """The whole file, as ``clang-format`` leaves it."""
    magic = ", ".join(f"'{chr(byte)}'" if byte else "'\\0'" for byte in MAGIC)
    parts = [
        _BEGIN,
        f"inline constexpr char kMagic[{len(MAGIC)}] = {{{magic}}};",
        *_aligned(
            [
                (
                    f"inline constexpr {bound.type} {bound.name} = {bound.value};",
                    bound.meaning,
                )
                for bound in BOUNDS
            ]
        ),
        "",
        _SIZE_OF,
        *(line for name, members in ENUMS.items() for line in _enum(name, members)),
        *_facts(),
        *(line for record in RECORDS.values() for line in _struct(record)),
        *(f"static_assert(sizeof({record.name}) == {record.size});" for record in RECORDS.values()),
        "",
        "}  // namespace horizon",
    ]
    return "\n".join(parts) + "\n"


def _aligned(lines: list[tuple[str, str]], indent: str = "") -> list[str]:
    """Code with comments behind it, aligned where lines follow each other; above it if too long."""
    result: list[str] = []
    group: list[tuple[str, str]] = []
    for code, comment in [*lines, ("", "")]:
        if comment:
            group.append((code, comment))
            continue
        width = max((len(line) for line, _ in group), default=0)
        behind = [f"{indent}{line:<{width}}  // {text}" for line, text in group]
        if any(len(line) > _COLUMNS for line in behind):
            behind = [
                part for line, text in group for part in (f"{indent}// {text}", indent + line)
            ]
        result += behind
        group = []
        if code:
            result.append(indent + code)
    return result


def _enum(name: str, members: type[IntEnum]) -> list[str]:
    entries = [(f"{member.name} = {member.value},", meaning_of(member)) for member in members]
    base = _NUMBERS[ENUM_TYPES[name]]
    one = ", ".join(f"{member.name} = {member.value}" for member in members)
    line = f"enum class {name} : {base} {{ {one} }};"
    if not any(comment for _, comment in entries) and len(line) <= _COLUMNS:
        return [line, ""]
    if not any(comment for _, comment in entries):
        code, _ = entries[-1]
        entries[-1] = (code.rstrip(","), "")
    return [f"enum class {name} : {base} {{", *_aligned(entries, "  "), "};", ""]


def _facts() -> list[str]:
    """What a check or a message asks of an enumeration's members."""
    units = [f"Unit::{INSTRUCTIONS[opcode].unit.name}" for opcode in Opcode]
    return [
        f"inline constexpr int kUnits = {len(Unit)};",
        f"inline constexpr std::size_t kSections = {len(SectionKind)};",
        f"inline constexpr std::size_t kOpcodes = {len(Opcode)};",
        "",
        "// clang-format off",
        "// By opcode - 1.",
        *_list("Unit kUnitOf", units),
        *_list("const char* kOpcodeNames", _names(Opcode)),
        "",
        "// By number.",
        *_list("const char* kTypeNames", _names(DataType)),
        *_list("const char* kSpaceNames", _names(Space)),
        *_list("const char* kUnitNames", _names(Unit)),
        "",
        "// By section kind - 1.",
        *_list("const char* kSectionNames", _names(SectionKind)),
        "// clang-format on",
        "",
        "inline constexpr std::int64_t size_of(Type type) {",
        f"  constexpr std::int64_t sizes[] = {{{', '.join(str(t.size) for t in DataType)}}};",
        "  return sizes[static_cast<std::size_t>(type)];",
        "}",
        "",
    ]


def _names(members: type[IntEnum]) -> list[str]:
    return [f'"{member.name}"' for member in members]


def _list(head: str, items: list[str]) -> list[str]:
    """An array: a line, or a line for each item."""
    begin = f"inline constexpr {head}[] = {{"
    one = f"{begin}{', '.join(items)}}};"
    return [one] if len(one) <= _COLUMNS else [begin, *(f"    {item}," for item in items), "};"]


def _struct(record: Record) -> list[str]:
    fields = [(_declaration(field, record), _comment(field)) for field in record.fields]
    comment = [f"// {record.meaning}"] if record.meaning[0].isupper() else []
    return [*comment, f"struct {record.name} {{", *_aligned(fields, "  "), "};", ""]


def _declaration(field: Field, record: Record) -> str:
    kind = _NUMBERS.get(field.type, field.type)
    count = "kUnits" if field.form == "waits" else str(field.count)
    array = f"[{count}]" if field.count > 1 else ""
    # Channels are often written as {bias, multiplier, residual_multiplier, shift}.
    later = record.name == "Channel" and record.offsets[field.name] >= 16
    return f"{kind} {field.name}{array}{' = {}' if later and array else ' = 0' if later else ''};"


def _comment(field: Field) -> str:
    return "" if field.form in ("zero", "enum", "view") else field.meaning.replace("`", "")
