"""Read a table of a description: check every value, and refuse keys that nothing reads."""

from __future__ import annotations

import difflib
from typing import Any, NoReturn

from horizon.errors import InputError
from horizon.march.machine import Source

PROVENANCES = ("published", "assumed", "fitted")
LARGEST_NUMBER = 2**40
# Within these limits, no time, rate or sum of a report leaves the range of float.
SMALLEST_QUANTITY, LARGEST_QUANTITY = 1e-15, 1e15
EXAMPLE = f'{{ value = 1, provenance = "{PROVENANCES[1]}", source = "..." }}'


class Table:
    """Reads and checks each key; ``finish`` refuses keys that were not read.

    Attributes:
        sources: the sources of the numbers that were read, by full key.
    """

    def __init__(self, values: dict[str, Any], path: str, prefix: str = "") -> None:
        self._values, self._path, self._prefix = values, path, prefix
        self._known: list[str] = []
        self.sources: dict[str, Source] = {}

    def has(self, key: str) -> bool:
        """Whether an optional key is there."""
        self._known.append(key)
        return key in self._values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def fail(self, key: str, found: str, expected: str) -> NoReturn:
        """Raises InputError."""
        raise InputError(f"{self._path}: {self._prefix}{key} is {found}; expected {expected}")

    def table(self, key: str) -> Table:
        values = self._take(key, dict, "a table")
        table = Table(values, self._path, f"{self._prefix}{key}.")
        table.sources = self.sources
        return table

    def optional_table(self, key: str) -> Table | None:
        return self.table(key) if self.has(key) else None

    def text(self, key: str) -> str:
        value: str = self._take(key, str, "a text")
        if not value.strip():
            self.fail(key, f"{value!r}", "a text")
        return value

    def flag(self, key: str) -> bool:
        value: bool = self._take(key, bool, "true or false")
        return value

    def names(self, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """A list of names out of ``known``, each at most once, in the order of ``known``."""
        expected = f"a list of some of {', '.join(known)}"
        value = self._take(key, list, expected)
        for name in value:
            if name not in known:
                self.fail(key, f"a list with {name!r}", expected)
        if len(set(value)) < len(value):
            self.fail(key, f"{value}", "each name once")
        return tuple(name for name in known if name in value)

    def count(self, key: str, largest: int = LARGEST_NUMBER) -> int:
        """A positive integer with its source."""
        value = self._number(key, int, "an integer")
        if not 1 <= value <= largest:
            self.fail(f"{key}.value", f"{value}", f"1..{largest}")
        return int(value)

    def quantity(self, key: str, zero: bool = False, largest: float = LARGEST_QUANTITY) -> float:
        """A positive number with its source; with ``zero``, it may be 0."""
        value = self._number(key, int | float, "a number")
        smallest = 0.0 if zero else SMALLEST_QUANTITY
        if not smallest <= value <= largest:  # also false for nan
            self.fail(f"{key}.value", f"{value}", f"{smallest:g} to {largest:g}")
        return float(value)

    def _number(self, key: str, kind: Any, kind_text: str) -> Any:
        entry = Table(self._take(key, dict, EXAMPLE), self._path, f"{self._prefix}{key}.")
        value = entry._take("value", kind, kind_text)
        provenance, source = entry.text("provenance"), entry.text("source")
        entry.finish()
        if provenance not in PROVENANCES:
            entry.fail("provenance", f"{provenance!r}", f"one of {', '.join(PROVENANCES)}")
        self.sources[f"{self._prefix}{key}"] = Source(provenance, source)
        return value

    def finish(self) -> None:
        """Refuse keys of the file that were not read."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                known = ", ".join(dict.fromkeys(self._known))
                raise InputError(
                    f"{self._path}: unknown key {self._prefix + key!r}; expected {known}{hint}"
                )

    def _take(self, key: str, kind: Any, expected: str) -> Any:
        self._known.append(key)
        if key not in self._values:
            # A misspelt key is unknown, and the right one is missing: name it as a hint.
            unread = [name for name in self._values if name not in self._known]
            near = difflib.get_close_matches(key, unread, 1)
            hint = f"; {near[0]!r} is there instead" if near else ""
            raise InputError(
                f"{self._path}: {self._prefix}{key} is missing; expected {expected}{hint}"
            )
        value = self._values[key]
        # bool is a subclass of int
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            self.fail(key, f"{value!r}", expected)
        return value
