"""The complete plans of a level. The compiler takes the fastest of them."""

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
    """A plan and its job. A job with cascades has other tasks than one without."""

    job: Job
    plan: Plan


def make_candidates(job: Job) -> Iterator[Candidate]:
    """The candidates without cascades, then those with each choice of cascades.

    They depend on the machine's memory, alignment and units, and not on its speed.

    Raises:
        CapacityError: the machine has too little memory.
    """
    placed, tasks, machine, level = job.placed, job.tasks, job.machine, job.level
    plans = plans_of(job)
    yield from (Candidate(job, plan) for plan in plans)
    # A stripe may read or write a tensor that is resident in SRAM. It needs copies within SRAM for
    # that, which only the unit "transform" executes.
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
    """The plans with these cascades, up to the first that does not fit the SRAM."""
    placed, tasks = cascaded(job.placed, job.tasks, cascades)
    striped = Job(placed, tasks, job.machine, replace(job.level, policies=job.level.striping))
    yield from (Candidate(striped, plan) for plan in possible_plans(striped))
