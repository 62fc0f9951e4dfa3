"""Programs from files. Nothing in a file is trusted: it is right in every byte or refused."""

from __future__ import annotations

import json
import math
import os
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from horizon.errors import InputError
from horizon.hbm import format as layout
from horizon.hbm.check import check_program
from horizon.hbm.container import RECORDS, check_zeros, split_sections
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
from horizon.hbm.rules import fail, require

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
    for kind, dtype in RECORDS.items():
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
    check_program(program, where)
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
    columns: dict[str, list[Any]] = {name: records[name].tolist() for name in _PLAIN}
    for name in _VIEWS:
        columns[name] = _views(records[name], f"{place} {{}}, operand {name}")
    for name in _PAIRS:
        columns[name] = list(map(tuple, records[name].tolist()))
    for name in ("out", "a"):
        if None in columns[name]:
            fail(f"{place} {columns[name].index(None)}", f"no operand {name}", "one")
    special = (records[name].tolist() for name in _SPECIAL)
    result = []
    for number, row in enumerate(zip(*special, *columns.values(), strict=True)):
        opcode, unit, layer, waits, transposed, weight_layout, *values = row
        here = f"{place} {number}"
        if transposed not in (0, 1):
            fail(here, f"transposed {transposed}", "0 or 1")
        rest = dict(zip(columns, values, strict=True))
        result.append(
            Instruction(
                opcode=_member(Opcode, opcode, here),
                unit=_member(Unit, unit, here),
                layer=strings.get(layer, here),
                waits=tuple(waits),
                transposed=bool(transposed),
                weight_layout=_member(WeightLayout, weight_layout, here),
                **rest,
            )
        )
    return tuple(result)


_SPECIAL = ("opcode", "unit", "layer", "wait", "transposed", "weight_layout")
_VIEWS = ("out", "a", "b", "weight")
_PAIRS = ("kernel", "stride", "dilation", "pad", "origin")
_PLAIN = ("lo", "hi", "reach", "fraction_bits", "table", "table_count")


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
