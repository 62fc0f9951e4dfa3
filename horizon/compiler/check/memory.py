"""What does not fit the SRAM: the smallest tile of a layer, or all tensors where none is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from horizon.compiler.check.problem import Problem
from horizon.compiler.fit import make_plans
from horizon.compiler.layout import PlacedGraph
from horizon.compiler.levels import Level
from horizon.compiler.plan import Plan
from horizon.compiler.residency import streamed_operands
from horizon.compiler.tasks import Task
from horizon.compiler.tile_shapes import TileShapes
from horizon.compiler.tiling import OUTER_CHANNELS, SINGLE
from horizon.errors import InputError
from horizon.hbm.records import DataType, Space
from horizon.march import Machine

ENDLESS = 2**60


def memory_problems(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> list[Problem]:
    """Layers that do not fit; none exactly if the plans of the level can be made.

    On machines that cut layers these are made only where it is in doubt: in all but the smallest
    memories the smallest tiles fit by far.
    """
    if machine.constants_in_place:
        return _uncut(placed, tasks, machine, level)
    suspects = _cut(placed, tasks, machine)
    return [] if suspects and _plans(placed, tasks, machine, level) else suspects


def copy_problems(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> list[Problem]:
    """Copies within SRAM, on a machine without the unit for them."""
    if "transform" in machine.units or not any(task.op == "copy" for task in tasks):
        return []
    layers = {
        task.layer: None
        for plan in _plans(placed, tasks, machine, level)
        for task, tiling in zip(tasks, plan.tilings, strict=True)
        if task.op == "copy" and tiling is None
        if all(
            plan.spaces[operand.place.buffer] is Space.sram for operand in task.operands.values()
        )
    }
    found = f"copy needs unit transform; machine {machine.name} has {', '.join(machine.units)}"
    remedy = "let the tensor be read by one concat only, or choose opt O0 or O1"
    return [Problem(layer, "unit", found, remedy) for layer in layers]


def least_plan(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> Plan | None:
    """Of the level's plans the one that moves the fewest bytes; None if one cannot be made."""
    plans = _plans(placed, tasks, machine, level)
    return min(plans, key=lambda plan: plan.traffic, default=None)


def smallest_tile(placed: PlacedGraph, task: Task, machine: Machine) -> int:
    """Bytes of SRAM without which a task cannot run, if nothing of it is there already."""
    streamed = streamed_operands(task, frozenset(), machine.constants_in_place)
    types = {
        name: DataType[placed.graph.tensors[operand.tensor].dtype]
        for name, operand in task.operands.items()
    }
    shapes = TileShapes(task, types, placed.buffers, streamed, machine.alignment)
    return int(shapes.loops(OUTER_CHANNELS, SINGLE).need.min())


def _plans(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> list[Plan]:
    """All plans of the level; none if one of them cannot be made."""
    try:
        return list(make_plans(placed, tasks, machine, level))
    except InputError:
        return []


def _cut(placed: PlacedGraph, tasks: Sequence[Task], machine: Machine) -> list[Problem]:
    problems = []
    for task in tasks:
        need = smallest_tile(placed, task, machine)
        if need > machine.sram_bytes:
            found = (
                f"its smallest tile needs {need} bytes of SRAM; machine {machine.name} "
                f"has {machine.sram_bytes}: too little memory{_why(task)}"
            )
            remedy = "use smaller images or fewer channels, or a machine with more SRAM"
            problems.append(Problem(task.layer, "memory", found, remedy))
    return problems


def _why(task: Task) -> str:
    if task.op == "warp":
        return " (a warp may read any place, so that the whole map of a channel has to be there)"
    if task.is_convolution:
        return " (all inputs of the pixels that one output pixel sees, and weights of 16 outputs)"
    return ""


def _uncut(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> list[Problem]:
    """The layer at which most memory is in use."""
    endless = replace(machine, sram_bytes=ENDLESS)
    (plan,) = make_plans(placed, tasks, endless, level)
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
