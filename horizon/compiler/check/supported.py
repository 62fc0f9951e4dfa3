"""Everything that keeps a machine from carrying a program out, and the compiler's refusal of it."""

from __future__ import annotations

from collections.abc import Sequence

from horizon.compiler.check.limits import node_problems
from horizon.compiler.check.memory import copy_problems, memory_problems
from horizon.compiler.check.problem import Problem
from horizon.compiler.layout import PlacedGraph
from horizon.compiler.levels import Level
from horizon.compiler.tasks import Task
from horizon.errors import InputError
from horizon.march import Machine


def list_problems(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> list[Problem]:
    """All of them, none if it compiles.

    Missing units come first, since no change of a number helps there; then in the order of layers.
    """
    graph = placed.graph
    problems = [problem for node in graph.nodes for problem in node_problems(graph, node, machine)]
    problems += memory_problems(placed, tasks, machine, level)
    problems += copy_problems(placed, tasks, machine, level)
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    return sorted(problems, key=lambda p: (p.kind != "unit", places.get(p.layer, -1)))


def refuse_unsupported(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> None:
    """Raises InputError for the first such layer, with the number of the others."""
    problems = list_problems(placed, tasks, machine, level)
    if not problems:
        return
    first = problems[0]
    others = len({problem.layer for problem in problems} - {first.layer})
    more = (
        f"{others} more layer{'s' * (others != 1)} cannot be carried out either; " if others else ""
    )
    raise InputError(
        f"layer {first.layer}: {first}; {more}model_checker.py lists all that does not fit"
    )
