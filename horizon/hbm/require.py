"""Refusals: where, what was found, what was expected."""

from __future__ import annotations

from typing import NoReturn

from horizon.errors import InputError


def fail(where: str, found: str, expected: str) -> NoReturn:
    raise InputError(f"{where}: {found}; expected {expected}")


def require(condition: bool, where: str, found: str, expected: str) -> None:
    if not condition:
        fail(where, found, expected)
