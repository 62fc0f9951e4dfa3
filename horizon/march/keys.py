"""A machine's numbers by their keys in the description, such as "tensor.conv.pixels"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from horizon.march.machine import Machine


def path(machine: Machine, key: str) -> list[str]:
    """The names of attributes, or keys of mappings, that lead to a number."""
    first, *rest = key.split(".")
    if first in machine.simple:
        return ["simple", first, *rest]
    return rest if first == "memory" else [first, *rest]


def number(machine: Machine, key: str) -> float:
    """The value of a key of ``Machine.sources``."""
    place: Any = machine
    for name in path(machine, key):
        place = place[name] if isinstance(place, Mapping) else getattr(place, name)
    return float(place)
