"""The fastest of several programs of one graph, by the timing model.

Candidates do not depend on how fast the machine is, and the time of each never grows with a faster
memory, clock or array. So the time of the fastest never grows either.
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
    """The program of the least latency; of several the one that moves the fewest bytes, the first.

    What there is only one of is not timed.
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
