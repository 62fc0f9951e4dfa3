"""The complete plans of a level, of which the fastest is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from horizon.compiler.cascade import Cascade, cascaded
from horizon.compiler.choose_cascades import choose_cascades, list_stripings
from horizon.compiler.fit import make_plans
from horizon.compiler.layout import PlacedGraph
from horizon.compiler.levels import Level
from horizon.compiler.plan import Plan
from horizon.compiler.tasks import Task
from horizon.errors import InputError
from horizon.march import Machine


@dataclass(frozen=True)
class Candidate:
    """A plan, and the tasks that it is for: with cascades these differ."""

    placed: PlacedGraph
    tasks: Sequence[Task]
    plan: Plan


def make_candidates(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> Iterator[Candidate]:
    """First those without cascades, then those of each choice of cascades.

    They depend on the machine's memory, alignment and units, and on nothing else of it.

    Raises:
        InputError: too little memory.
    """
    plans = []
    for plan in make_plans(placed, tasks, machine, level):
        plans.append(plan)
        yield Candidate(placed, tasks, plan)
    # Between a stripe and a tensor that is in SRAM as a whole, copies stay within SRAM.
    if machine.constants_in_place or "transform" not in machine.units:
        return
    base = min(plans, key=lambda plan: plan.traffic)
    known: list[tuple[Cascade, ...]] = [()]
    sram_bytes = machine.sram_bytes
    stripings = list_stripings(placed, tasks, base, sram_bytes) if level.cascades else []
    for proportions in level.cascades:
        cascades = choose_cascades(placed, tasks, base, stripings, sram_bytes, proportions)
        if cascades in known:
            continue
        known.append(cascades)
        yield from _striped(placed, tasks, machine, level, cascades)


def _striped(
    placed: PlacedGraph,
    tasks: Sequence[Task],
    machine: Machine,
    level: Level,
    cascades: tuple[Cascade, ...],
) -> Iterator[Candidate]:
    """The plans with these cascades, as long as the copies that they add find room."""
    striped, parts = cascaded(placed, tasks, cascades)
    try:
        for plan in make_plans(striped, parts, machine, replace(level, policies=level.striping)):
            yield Candidate(striped, parts, plan)
    except InputError:
        return
