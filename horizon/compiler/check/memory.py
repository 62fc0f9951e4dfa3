"""Find what does not fit the SRAM: a layer's smallest tile, or all tensors if no layer is cut."""

from __future__ import annotations

from dataclasses import replace

from horizon.compiler.check.problem import Problem
from horizon.compiler.fit import plans_of
from horizon.compiler.job import Job
from horizon.compiler.plan import Plan
from horizon.compiler.tasks import Task
from horizon.errors import CapacityError
from horizon.hbir.operators import operator_of
from horizon.hbm.records import Space

ENDLESS = 2**60


def memory_problems(job: Job) -> list[Problem]:
    """Layers that do not fit. There are none exactly if the plans of the level can be made.

    On machines that cut layers, plans are made only in case of doubt: the smallest tiles fit easily
    in all but the smallest memories.
    """
    if not job.machine.cuts_layers:
        return _uncut(job)
    suspects = _cut(job)
    return [] if suspects and _plans(job) else suspects


def copy_problems(job: Job) -> list[Problem]:
    """Copies within SRAM, on a machine without the unit for them."""
    tasks, machine = job.tasks, job.machine
    if "transform" in machine.units or not any(task.is_copy for task in tasks):
        return []
    layers = {
        task.layer: None
        for plan in _plans(job)
        for task, tiling in zip(tasks, plan.tilings, strict=True)
        if task.is_copy and tiling is None
        if all(
            plan.spaces[operand.place.buffer] is Space.sram for operand in task.operands.values()
        )
    }
    found = f"copy needs unit transform; machine {machine.name} has {', '.join(machine.units)}"
    remedy = "let the tensor be read by one concat only, or choose opt O0 or O1"
    return [Problem(layer, "unit", found, remedy) for layer in layers]


def least_plan(job: Job) -> Plan | None:
    """The level's plan that moves the fewest bytes; None if one of the plans cannot be made."""
    return min(_plans(job), key=lambda plan: plan.traffic, default=None)


def _plans(job: Job) -> tuple[Plan, ...]:
    """All plans of the level; none if one of them cannot be made."""
    try:
        return plans_of(job)
    except CapacityError:
        return ()


def _cut(job: Job) -> list[Problem]:
    machine, problems = job.machine, []
    for index, task in enumerate(job.tasks):
        need = job.smallest_tile(index)
        if need > machine.sram_bytes:
            found = (
                f"its smallest tile needs {need} bytes of SRAM; machine {machine.name} "
                f"has {machine.sram_bytes}: too little memory{_why(task)}"
            )
            remedy = "use smaller images or fewer channels, or a machine with more SRAM"
            problems.append(Problem(task.layer, "memory", found, remedy))
    return problems


def _why(task: Task) -> str:
    note = "" if task.node is None else operator_of(task.node).whole_note
    return f" ({note})" if note else ""


def _uncut(job: Job) -> list[Problem]:
    """The problem at the layer where most memory is in use."""
    tasks, machine = job.tasks, job.machine
    endless = replace(machine, sram_bytes=ENDLESS)
    (plan,) = plans_of(Job(job.placed, tasks, endless, job.level))
    if plan.sram_bytes <= machine.sram_bytes:
        return []
    used = [
        sum(block.nbytes for block in plan.blocks if block.first <= at <= block.last)
        for at in range(len(tasks))
    ]
    worst = max(range(len(tasks)), key=used.__getitem__)
    found = (
        f"the program's tensors need {plan.sram_bytes} bytes at a time; machine {machine.name} has "
        f"{machine.sram_bytes}: too little memory; most is in use at this layer"
    )
    remedy = "use smaller images or a higher level of optimisation"
    return [Problem(tasks[worst].layer, "memory", found, remedy)]
