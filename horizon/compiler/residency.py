"""Which tensors stay in SRAM between layers, and how long each is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from horizon.compiler.layout import Buffer
from horizon.compiler.tasks import Operand, Task
from horizon.hbm.records import Space

Lifetimes = dict[str, tuple[int, int]]


def lifetimes(tasks: Sequence[Task], buffers: dict[str, Buffer]) -> Lifetimes:
    """The first and last task that use each buffer, the caller's arrays aside."""
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
    """The operands that must be loaded or stored: they are not in SRAM, nor read in place."""
    names = [
        name for name, operand in task.operands.items() if operand.place.buffer not in resident
    ]
    if task.weighted and not weights_in_place:
        names.append("weight")
    return frozenset(names)


def choose_residents(
    sizes: dict[str, int],
    lives: Lifetimes,
    order: Sequence[str],
    capacity: int,
    cost: Callable[[int, frozenset[str], int], float | None],
) -> frozenset[str]:
    """Choose greedily: a tensor stays in SRAM if that lowers the cost of the tasks of its lifetime.

    A resident saves its own loads and stores. It takes memory from the tiles of all tasks between
    its first and last use.

    Args:
        sizes: bytes of buffers by name.
        order: names of buffers, the most promising first.
        capacity: bytes of SRAM.
        cost: cost of a task (by its index), given the residents and the bytes left for its slots;
            None if the task cannot run with so few.
    """
    steps = max((last for _, last in lives.values()), default=-1) + 1
    free = [capacity] * steps
    resident: frozenset[str] = frozenset()
    for name in order:
        size = sizes[name]
        first, last = lives[name]
        span = range(first, last + 1)
        if min(free[first : last + 1]) < size:
            continue
        more = resident | {name}
        saved = 0.0
        for index in span:
            now = cost(index, more, free[index] - size)
            if now is None:
                break
            saved += (cost(index, resident, free[index]) or 0) - now
        else:
            if saved > 0:
                resident = more
                for index in span:
                    free[index] -= size
    return resident


def by_benefit(tasks: Sequence[Task], buffers: dict[str, Buffer], lives: Lifetimes) -> list[str]:
    """Buffers in descending order of their traffic per byte of SRAM and task of their lifetime."""
    moved = dict.fromkeys(lives, 0)
    for task in tasks:
        for operand in task.operands.values():
            if operand.place.buffer in moved:
                moved[operand.place.buffer] += operand_bytes(operand, buffers)

    def benefit(name: str) -> float:
        first, last = lives[name]
        return moved[name] / (buffers[name].nbytes * (last - first + 1))

    return sorted(lives, key=lambda name: (-benefit(name), buffers[name].nbytes, name))


def operand_bytes(operand: Operand, buffers: dict[str, Buffer]) -> int:
    n, y, x, c = operand.shape
    return n * y * x * c * buffers[operand.place.buffer].dtype.size
