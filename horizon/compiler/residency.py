"""Which tensors stay in SRAM between layers, and how long each is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from horizon.compiler.layout import Buffer
from horizon.compiler.tasks import Operand, Task
from horizon.hbm.records import ALIGNMENT, Space

Lifetimes = dict[str, tuple[int, int]]


def lifetimes(tasks: Sequence[Task], buffers: dict[str, Buffer]) -> Lifetimes:
    """First and last task that touch each buffer of the program's own."""
    found: Lifetimes = {}
    for index, task in enumerate(tasks):
        for operand in task.operands.values():
            name = operand.place.buffer
            if buffers[name].space is Space.none:
                found[name] = (found.get(name, (index, 0))[0], index)
    return found


def streamed_operands(
    task: Task, resident: frozenset[str], weights_in_place: bool
) -> frozenset[str]:
    """The operands that are not in SRAM (nor weights that are read where they are)."""
    names = [
        name for name, operand in task.operands.items() if operand.place.buffer not in resident
    ]
    if task.is_convolution and not weights_in_place:
        names.append("weight")
    return frozenset(names)


def choose_residents(
    tasks: Sequence[Task],
    buffers: dict[str, Buffer],
    lives: Lifetimes,
    capacity: int,
    working_set: Callable[[int, frozenset[str]], int],
) -> frozenset[str]:
    """Greedily, those that save most traffic for each byte and task that they occupy.

    Args:
        capacity: bytes of SRAM.
        working_set: bytes of the slots that a task (by its index) wants, given the residents.
    """
    live = [0] * len(tasks)
    want = [working_set(index, frozenset()) for index in range(len(tasks))]
    resident: frozenset[str] = frozenset()
    for name in _by_benefit(tasks, buffers, lives):
        size = rounded(buffers[name].nbytes)
        first, last = lives[name]
        if size > capacity:
            continue
        more = resident | {name}
        span = range(first, last + 1)
        touching = [index for index in span if _touches(tasks[index], name)]
        wanted = {index: want[index] for index in span}
        wanted |= {index: working_set(index, more) for index in touching}
        if all(live[index] + size + wanted[index] <= capacity for index in span):
            resident = more
            for index in span:
                live[index] += size
                want[index] = wanted[index]
    return resident


def rounded(nbytes: int) -> int:
    return nbytes + -nbytes % ALIGNMENT


def _touches(task: Task, name: str) -> bool:
    return any(operand.place.buffer == name for operand in task.operands.values())


def _by_benefit(tasks: Sequence[Task], buffers: dict[str, Buffer], lives: Lifetimes) -> list[str]:
    moved = dict.fromkeys(lives, 0)
    for task in tasks:
        for operand in task.operands.values():
            if operand.place.buffer in moved:
                moved[operand.place.buffer] += _bytes(operand, buffers)

    def benefit(name: str) -> float:
        first, last = lives[name]
        return moved[name] / (buffers[name].nbytes * (last - first + 1))

    return sorted(lives, key=lambda name: (-benefit(name), buffers[name].nbytes, name))


def _bytes(operand: Operand, buffers: dict[str, Buffer]) -> int:
    n, y, x, c = operand.shape
    return n * y * x * c * buffers[operand.place.buffer].dtype.size
