"""Why a layer cannot be carried out by a machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One reason.

    Attributes:
        layer: of the compiled graph; empty where no layer is at fault.
        kind: "unit", "limit", "memory" or "size".
        found: what is there and what the machine takes.
        remedy: what to do about it.
    """

    layer: str
    kind: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; {self.remedy}"
