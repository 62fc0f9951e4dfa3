"""Descriptions of machines: what the compiler has to know, with the source of every number.

A description is a TOML file, ``docs/march.md`` says how to write one. Those that come along lie
beside this file.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from horizon.errors import InputError

FOLDER = Path(__file__).parent
UNITS = ("load", "store", "tensor", "vector", "aux", "transform")
NEEDED_UNITS = ("load", "store")
PROVENANCES = ("published", "assumed", "fitted")
# Program files place constants and memories at multiples of it.
SMALLEST_ALIGNMENT = 64
LARGEST_NUMBER = 2**40


@dataclass(frozen=True)
class Source:
    """Where a number comes from.

    Attributes:
        provenance: "published", "assumed" or "fitted".
        text: the publication, the reason, or what it was fitted to.
    """

    provenance: str
    text: str


@dataclass(frozen=True)
class Machine:
    """What a program is compiled for.

    Attributes:
        name: one word.
        title: for people.
        cores: that the machine has; the compiler uses one of them so far.
        units: the units that it has, of ``UNITS``; a layer that needs another one is refused.
        sram_bytes: memory that instructions compute in, of each core.
        alignment: bytes; addresses in SRAM are multiples of it.
        constants_in_place: weights are read where they lie in the program instead of being loaded
            into SRAM first.
        sources: of each number, by its key in the file, for instance "memory.sram_bytes".
    """

    name: str
    title: str
    cores: int
    units: tuple[str, ...]
    sram_bytes: int
    alignment: int
    constants_in_place: bool
    sources: Mapping[str, Source] = field(hash=False, repr=False)


def available() -> tuple[str, ...]:
    """Names of the machines that come along."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name_or_path: str | os.PathLike[str]) -> Machine:
    """A machine that comes along, by its name, or that of a file, by its path (``*.toml``).

    Raises:
        InputError: an unknown name; a file that cannot be read or is not TOML; a key that is
            unknown, missing, of another type, out of range or in contradiction to another one.
    """
    text = os.fspath(name_or_path)
    if text in available():
        path = FOLDER / f"{text}.toml"
    elif text.endswith(".toml"):
        path = Path(text)
    else:
        raise InputError(
            f"machine {text!r} is unknown; expected one of {', '.join(available())}, "
            "or the path of a description, which ends in .toml"
        )
    try:
        values = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot read it: {reason}; expected a description") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {error}; expected a TOML file in UTF-8") from error
    return _machine(_Table(values, str(path)))


def _machine(top: _Table) -> Machine:
    name, title = top.text("name"), top.text("title")
    cores, units = top.number("cores"), top.names("units", UNITS)
    memory = top.table("memory")
    machine = Machine(
        name=name,
        title=title,
        cores=cores,
        units=units,
        sram_bytes=memory.number("sram_bytes"),
        alignment=memory.number("alignment"),
        constants_in_place=memory.flag("constants_in_place"),
        sources={**top.sources, **memory.sources},
    )
    memory.finish()
    top.finish()
    if not re.fullmatch(r"[\w.-]+", machine.name):
        top.fail("name", f"{machine.name!r}", "one word of letters, digits, '_', '-' and '.'")
    for unit in NEEDED_UNITS:
        if unit not in machine.units:
            top.fail("units", f"no {unit!r}", "it: without it no data enter or leave the machine")
    alignment = machine.alignment
    if alignment < SMALLEST_ALIGNMENT or alignment & (alignment - 1):
        expected = f"a power of two of at least {SMALLEST_ALIGNMENT}"
        memory.fail("alignment", f"{alignment}", expected)
    if machine.sram_bytes % alignment:
        found = f"{machine.sram_bytes}, with alignment {alignment}"
        memory.fail("sram_bytes", found, "a multiple of the alignment; change one of the two")
    return machine


class _Table:
    """A table of the file, of which every key is asked for exactly once."""

    def __init__(self, values: dict[str, Any], path: str, prefix: str = "") -> None:
        self._values, self._path, self._prefix = values, path, prefix
        self._known: list[str] = []
        self.sources: dict[str, Source] = {}

    def fail(self, key: str, found: str, expected: str) -> NoReturn:
        raise InputError(f"{self._path}: {self._prefix}{key} is {found}; expected {expected}")

    def table(self, key: str) -> _Table:
        return _Table(self._take(key, dict, "a table"), self._path, f"{self._prefix}{key}.")

    def text(self, key: str) -> str:
        value: str = self._take(key, str, "a text")
        if not value.strip():
            self.fail(key, f"{value!r}", "a text")
        return value

    def flag(self, key: str) -> bool:
        value: bool = self._take(key, bool, "true or false")
        return value

    def names(self, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Names out of ``known``, each at most once, in that order."""
        expected = f"a list of some of {', '.join(known)}"
        value = self._take(key, list, expected)
        for name in value:
            if name not in known:
                self.fail(key, f"a list with {name!r}", expected)
        if len(set(value)) < len(value):
            self.fail(key, f"{value}", "each name once")
        return tuple(name for name in known if name in value)

    def number(self, key: str) -> int:
        """A positive integer that says where it comes from."""
        expected = f'{{ value = 1, provenance = "{PROVENANCES[1]}", source = "..." }}'
        entry = _Table(self._take(key, dict, expected), self._path, f"{self._prefix}{key}.")
        value: int = entry._take("value", int, "an integer")
        provenance, source = entry.text("provenance"), entry.text("source")
        entry.finish()
        if not 1 <= value <= LARGEST_NUMBER:
            entry.fail("value", f"{value}", f"1..{LARGEST_NUMBER}")
        if provenance not in PROVENANCES:
            entry.fail("provenance", f"{provenance!r}", f"one of {', '.join(PROVENANCES)}")
        self.sources[f"{self._prefix}{key}"] = Source(provenance, source)
        return value

    def finish(self) -> None:
        """Every key of the file is one that was asked for."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(
                    f"{self._path}: unknown key {self._prefix + key!r}; expected "
                    f"{', '.join(self._known)}{hint}"
                )

    def _take(self, key: str, kind: type, expected: str) -> Any:
        self._known.append(key)
        if key not in self._values:
            # A misspelt key is both unknown and missing: the hint names it.
            near = difflib.get_close_matches(key, self._values, 1)
            hint = f"; {near[0]!r} is there instead" if near else ""
            raise InputError(
                f"{self._path}: {self._prefix}{key} is missing; expected {expected}{hint}"
            )
        value = self._values[key]
        # In Python, true is an int too.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(key, f"{value!r}", expected)
        return value
