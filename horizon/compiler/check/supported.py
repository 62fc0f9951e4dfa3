"""All reasons why a machine cannot run a program, and the compiler's refusal."""

from __future__ import annotations

from horizon.compiler.check.limits import node_problems
from horizon.compiler.check.memory import copy_problems, memory_problems
from horizon.compiler.check.problem import Problem
from horizon.compiler.job import Job
from horizon.errors import CapacityError


def list_problems(job: Job) -> list[Problem]:
    """All problems; none if the program compiles.

    Missing units come first, because no change of a number helps there. Then the order is that of
    the layers.
    """
    graph = job.placed.graph
    problems = [
        problem for node in graph.nodes for problem in node_problems(graph, node, job.machine)
    ]
    problems += memory_problems(job)
    problems += copy_problems(job)
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    return sorted(problems, key=lambda p: (p.kind != "unit", places.get(p.layer, -1)))


def refuse_unsupported(job: Job) -> None:
    """Raise CapacityError for the first problem, with the number of the others."""
    problems = list_problems(job)
    if not problems:
        return
    first = problems[0]
    others = len({problem.layer for problem in problems} - {first.layer})
    more = (
        f"{others} more layer{'s' * (others != 1)} cannot be carried out either; " if others else ""
    )
    raise CapacityError(
        f"layer {first.layer}: {first}; {more}model_checker.py lists all that does not fit"
    )
