"""Programs from files. Nothing in a file is trusted: it is right in every byte or refused."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from horizon.errors import InputError
from horizon.hbm import format as layout
from horizon.hbm.check import check_records
from horizon.hbm.container import RECORD_TYPES, check_zeros, split_sections
from horizon.hbm.format import SectionKind
from horizon.hbm.records import (
    ALIGNMENT,
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
from horizon.hbm.require import fail, require
from horizon.isa.records import RECORDS, Field

Member = TypeVar("Member", bound=IntEnum)


def read(path: str | os.PathLike[str]) -> Program:
    """The program of a file.

    Raises:
        InputError: the file cannot be read, or as :func:`from_bytes`; names the file.
    """
    return from_bytes(_bytes_of(path), str(path))


def read_metadata(source: str | os.PathLike[str] | bytes) -> dict[str, Any]:
    """The metadata of a program's file, or of its bytes, without reading the program.

    Raises:
        InputError: the file cannot be read, or its container or metadata are damaged.
    """
    data = source if isinstance(source, bytes) else _bytes_of(source)
    where = "program" if isinstance(source, bytes) else os.fspath(source)
    sections = split_sections(memoryview(data), where)
    return _metadata(bytes(sections[SectionKind.metadata]), f"{where}: section metadata")


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{path}: cannot read this file: {reason}; expected a .hbm file"
        ) from error


def from_bytes(data: bytes, where: str = "program") -> Program:
    """The program that a file's contents describe.

    Checked are container, checksums, every record, and that every operand is inside its memory.

    Args:
        where: begins every message.

    Raises:
        InputError: names the section, and the instruction or tensor, that is wrong.
    """
    sections = split_sections(memoryview(data), where)
    arrays = {}
    for kind, dtype in RECORD_TYPES.items():
        arrays[kind] = np.frombuffer(sections[kind], dtype)
        check_zeros(arrays[kind], f"{where}: section {kind.name}")
    strings = _Strings(bytes(sections[SectionKind.strings]), where)
    record = arrays[SectionKind.program][0]
    place = f"{where}: section program"
    constants = bytes(sections[SectionKind.constants])
    tensors, end = _tensors(arrays[SectionKind.tensors], constants, strings, where)
    count = int(record["input_count"])
    total = count + int(record["output_count"])
    found = f"{count} inputs of {total} tensors"
    require(total == len(tensors), place, found, f"{len(tensors)} tensors, as in their section")
    program = Program(
        name=strings.get(int(record["name"]), place),
        march=strings.get(int(record["march"]), place),
        opt=int(record["opt"]),
        inputs=tuple(tensors[:count]),
        outputs=tuple(tensors[count:]),
        instructions=_instructions(arrays[SectionKind.instructions], strings, where),
        constants=constants[:end],
        sram_bytes=int(record["sram_bytes"]),
        ddr_bytes=int(record["ddr_bytes"]),
        size_multiple=int(record["size_multiple"]),
        metadata=_metadata(bytes(sections[SectionKind.metadata]), f"{where}: section metadata"),
    )
    check_records(program, where)
    return program


class _Strings:
    """The strings section, read by offset."""

    def __init__(self, data: bytes, where: str) -> None:
        place = f"{where}: section strings"
        require(data[-1:] == b"\0", place, f"it ends in {data[-1:]!r}", "a NUL")
        try:
            data.decode()
        except UnicodeDecodeError as error:
            fail(place, f"{error.reason} at byte {error.start}", "UTF-8")
        self._texts: dict[int, str] = {}
        start = 0
        for text in data[:-1].split(b"\0"):
            self._texts[start] = text.decode()
            start += len(text) + 1

    def get(self, offset: int, where: str) -> str:
        if offset not in self._texts:
            fail(where, f"string at {offset}", "the start of one in section strings")
        return self._texts[offset]


def _member(kind: type[Member], value: int, where: str) -> Member:
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(f"{member.value} ({member.name})" for member in kind)
        fail(where, f"{kind.__name__.lower()} {value}", names)


def _tensors(
    records: np.ndarray, constants: bytes, strings: _Strings, where: str
) -> tuple[list[IoTensor], int]:
    """Inputs and outputs, and where the constants end: their scales follow, and nothing else."""
    tensors = []
    place = f"{where}: section tensors"
    begin = end = int(records["scale_offset"][0]) if len(records) else len(constants)
    require(begin % ALIGNMENT == 0, place, f"scales at {begin}", f"a multiple of {ALIGNMENT}")
    for index, record in enumerate(records):
        place = f"{where}: section tensors, tensor {index}"
        start, count = int(record["scale_offset"]), int(record["scale_count"])
        require(start == end, place, f"scales at {start}", f"{end}, behind those before")
        end += count * layout.SCALE.itemsize
        if end > len(constants):
            fail(place, f"scales end at {end}", f"at most {len(constants)}, the constants' end")
        n, a, b, c = record["shape"].tolist()
        tensors.append(
            IoTensor(
                name=strings.get(int(record["name"]), place),
                dtype=_member(DataType, int(record["type"]), place),
                layout=_member(Layout, int(record["layout"]), place),
                shape=(n, a, b, c),
                scales=tuple(np.frombuffer(constants[start:end], layout.SCALE).tolist()),
                zero_point=int(record["zero_point"]),
            )
        )
    place = f"{where}: section constants"
    require(end == len(constants), place, f"{len(constants)} bytes", f"{end}, the scales' end")
    return tensors, begin


def _instructions(records: np.ndarray, strings: _Strings, where: str) -> tuple[Instruction, ...]:
    place = f"{where}: section instructions, instruction"
    # By columns: lists of plain ints are far faster to take apart than single records.
    columns = [_column(field, records[field.name], strings, place) for field in _FIELDS]
    return tuple(itertools.starmap(Instruction, zip(*columns, strict=True)))


# In the order of an Instruction's fields.
_FIELDS = [field for field in RECORDS["InstructionRecord"].fields if field.form != "zero"]
_ENUMS: dict[str, type[IntEnum]] = {"Opcode": Opcode, "Unit": Unit, "WeightLayout": WeightLayout}


def _column(field: Field, column: np.ndarray, strings: _Strings, place: str) -> list[Any]:
    """A field of all instructions."""
    if field.form == "view":
        views = _views(column, f"{place} {{}}, operand {field.name}")
        if field.name in ("out", "a") and None in views:
            fail(f"{place} {views.index(None)}", f"no operand {field.name}", "one")
        return views
    values = column.tolist()
    if field.form in ("pair", "waits"):
        return list(map(tuple, values))
    if field.form == "number":
        return values
    one: Callable[[int, str], Any]
    if field.form == "text":
        one = strings.get
    elif field.form == "flag":
        one = partial(_flag, field.name)
    else:
        one = partial(_member, _ENUMS[field.type])
    # Few different values, and a message that names the first instruction that has one.
    known = {value: one(value, f"{place} {values.index(value)}") for value in dict.fromkeys(values)}
    return [known[value] for value in values]


def _flag(name: str, value: int, where: str) -> bool:
    require(value in (0, 1), where, f"{name} {value}", "0 or 1")
    return bool(value)


def _views(records: np.ndarray, where: str) -> list[Any]:
    """One view or None for each instruction; ``where`` has a place for its number."""
    names = ("offset", "shape", "stride", "space", "type", "index")
    views: list[View | None] = []
    for number, row in enumerate(zip(*(records[name].tolist() for name in names), strict=True)):
        offset, shape, stride, space, dtype, index = row
        if space == Space.none:
            if any((offset, *shape, *stride, dtype, index)):
                fail(where.format(number), "a missing operand that is not 0", "0 in all its fields")
            views.append(None)
            continue
        here = where.format(number) if space not in _SPACES or dtype not in _TYPES else ""
        views.append(
            View(
                _member(Space, space, here),
                _member(DataType, dtype, here),
                tuple(shape),
                tuple(stride),
                offset,
                index,
            )
        )
    return views


_SPACES = frozenset(Space)
_TYPES = frozenset(DataType)


def _metadata(data: bytes, where: str) -> dict[str, Any]:
    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is no finite number")
        return value

    try:
        value = json.loads(data.decode(), parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {error}; expected a JSON object") from error
    require(isinstance(value, dict), where, f"JSON of type {type(value).__name__}", "an object")
    result: dict[str, Any] = value
    return result
