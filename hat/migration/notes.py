"""A remark about one place of a config."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How much a note matters, from the least on."""

    RENAMED = "renamed"
    """The same thing under another name."""
    IGNORED = "ignored"
    """A setting without a counterpart; results do not depend on it."""
    ADDED = "added"
    """A section that the commands need and the config derives from others."""
    CHANGED = "changed"
    """Taken literally it would be wrong: something else is done. Commands warn of it."""


@dataclass(frozen=True)
class Note:
    """One difference: its kind, the path of the key in the config, and what is done about it."""

    kind: Kind
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"
