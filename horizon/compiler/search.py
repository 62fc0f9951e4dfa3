"""Choose the fastest of several programs of one graph, by the timing model.

The candidates do not depend on the machine's speed, and a faster memory, clock or array never makes
a candidate slower. So a faster machine's fastest program is never slower either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from horizon.hbm.records import Program
from horizon.march import Machine
from horizon.perf import estimate

Candidate = TypeVar("Candidate")
Built = TypeVar("Built")


def fastest(
    candidates: Iterable[Candidate],
    build: Callable[[Candidate], Built],
    program_of: Callable[[Built], Program],
    machine: Machine,
) -> Built:
    """The program with the least latency; of equals, the one that moves the fewest bytes.

    A single candidate is not timed.
    """
    remaining = iter(candidates)
    best = build(next(remaining))
    key = None
    for candidate in remaining:
        key = key or _key(program_of(best), machine)
        other = build(candidate)
        other_key = _key(program_of(other), machine)
        if other_key < key:
            best, key = other, other_key
    return best


def _key(program: Program, machine: Machine) -> tuple[float, int]:
    found = estimate(program, machine)
    return found.latency, found.loaded + found.stored
