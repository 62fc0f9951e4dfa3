"""A machine's numbers as the reports show them, each with its source."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from horizon.march import ARRAYS, Machine
from horizon.march.keys import number
from horizon.perf.bound import peak

PROVENANCES = ("published", "assumed", "fitted")
NOT_TIMING = "limits."


@dataclass(frozen=True)
class Number:
    """A number of a machine description that times depend on.

    Attributes:
        key: in the file, for instance "tensor.conv.pixels".
        provenance: "published", "assumed" or "fitted".
        source: the publication, the reason, or what it was fitted to.
    """

    key: str
    value: float
    provenance: str
    source: str


def machine_numbers(machine: Machine) -> list[Number]:
    """All numbers in the file's order, without the limits of operators, which take no time."""
    return [
        Number(key, number(machine, key), source.provenance, source.text)
        for key, source in machine.sources.items()
        if not key.startswith(NOT_TIMING)
    ]


def provenance_counts(machine: Machine) -> dict[str, int]:
    """How many numbers are published, assumed and fitted."""
    counts = Counter(number.provenance for number in machine_numbers(machine))
    return {name: counts[name] for name in PROVENANCES}


def peak_macs(machine: Machine, *arrays: str) -> float:
    """The most per second and core, with int8 inputs, of some arrays or of all; 0 without any."""
    if machine.tensor is None:
        return 0.0
    return max(peak(machine, array) for array in arrays or ARRAYS)
