"""A problem that a check of the verifier finds; the caller adds the instruction."""

from __future__ import annotations

from horizon.hbm.records import View


class Wrong(Exception):
    """A violated condition.

    Attributes:
        where: an operand or a field of the instruction.
    """

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")


def at(operand: str, view: View) -> str:
    """An operand and the bytes that it spans, for messages."""
    index = f" {view.index}" if view.space.name in ("input", "output") else ""
    return f"operand {operand} ({view.space.name}{index}, bytes {view.offset}..{view.end - 1})"
