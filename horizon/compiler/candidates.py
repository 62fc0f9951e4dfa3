"""The complete plans of a level, of which the fastest is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from horizon.compiler.cascade import Cascade, cascaded
from horizon.compiler.choose_cascades import choose_cascades, list_stripings
from horizon.compiler.fit import plans_of, possible_plans
from horizon.compiler.job import Job
from horizon.compiler.plan import Plan


@dataclass(frozen=True)
class Candidate:
    """A plan, and the job that it is for: with cascades its tasks differ."""

    job: Job
    plan: Plan


def make_candidates(job: Job) -> Iterator[Candidate]:
    """First those without cascades, then those of each choice of cascades.

    They depend on the machine's memory, alignment and units, and on nothing else of it.

    Raises:
        CapacityError: too little memory.
    """
    placed, tasks, machine, level = job.placed, job.tasks, job.machine, job.level
    plans = plans_of(job)
    yield from (Candidate(job, plan) for plan in plans)
    # Between a stripe and a tensor that is in SRAM as a whole, copies stay within SRAM.
    if not machine.cuts_layers or "transform" not in machine.units:
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
        yield from _striped(job, cascades)


def _striped(job: Job, cascades: tuple[Cascade, ...]) -> Iterator[Candidate]:
    """The plans with these cascades, as long as the copies that they add find room."""
    placed, tasks = cascaded(job.placed, job.tasks, cascades)
    striped = Job(placed, tasks, job.machine, replace(job.level, policies=job.level.striping))
    yield from (Candidate(striped, plan) for plan in possible_plans(striped))
