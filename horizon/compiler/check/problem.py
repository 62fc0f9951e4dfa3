"""Why a machine cannot run a layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One reason.

    Attributes:
        layer: name in the compiled graph; empty if no single layer is at fault.
        kind: "unit", "limit", "memory" or "size".
        found: what the layer needs and what the machine allows.
        remedy: what to do about it.
    """

    layer: str
    kind: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; {self.remedy}"
