"""Check that the waits order every pair of instructions that must not run at the same time.

A unit executes its instructions in order and waits for counts of other units. A vector clock tells
which instructions are certainly complete when an instruction starts. If two instructions use the
same bytes and one of them writes, the clock must order them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from horizon.compiler.verify.problem import Wrong, at
from horizon.hbm.records import Instruction, Program, Space, Unit, View

READ_ONLY = (Space.constant, Space.input)


def clocks(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """What is certainly complete when each instruction starts.

    Returns:
        (instructions, units): how many of each unit's instructions; and (instructions,): each
        one's number within its unit.
    """
    count = len(program.instructions)
    start = np.zeros((count, len(Unit)), np.int64)
    ordinal = np.zeros(count, np.int64)
    done: dict[Unit, list[np.ndarray]] = {unit: [] for unit in Unit}
    for number, instruction in enumerate(program.instructions):
        own = done[instruction.unit]
        before = [own[-1]] if own else []
        before += [
            done[Unit(unit)][wait - 1] for unit, wait in enumerate(instruction.waits) if wait
        ]
        if before:
            start[number] = np.max(before, axis=0)
        ordinal[number] = len(own)
        end = start[number].copy()
        end[instruction.unit] = len(own) + 1
        own.append(end)
    return start, ordinal


def check_hazards(program: Program) -> Iterator[tuple[int, Wrong]]:
    """Yield the conflicts: the number of the later instruction, and a description."""
    start, ordinal = clocks(program)
    units = np.array([instruction.unit for instruction in program.instructions])
    views, owner, box, writes = _operands(program)
    members = [np.flatnonzero(units == unit) for unit in Unit]
    first = np.searchsorted(owner, np.arange(len(units) + 1))
    for number in range(len(units)):
        # Instructions of other units before `oldest` are complete.
        oldest = number
        for unit, own in enumerate(members):
            if unit != units[number] and start[number, unit] < len(own):
                oldest = min(oldest, int(own[start[number, unit]]))
        earlier = np.s_[first[oldest] : first[number]]
        other = owner[earlier]
        open_ = (units[other] != units[number]) & (start[number][units[other]] <= ordinal[other])
        for index in range(first[number], first[number + 1]):
            space, index_in_space, low, high = box[index]
            near = open_ & (writes[earlier] | writes[index])
            near &= (box[earlier, 0] == space) & (box[earlier, 1] == index_in_space)
            near &= (box[earlier, 2] < high) & (box[earlier, 3] > low)
            for candidate in np.flatnonzero(near) + first[oldest]:
                if overlap(views[index][1], views[candidate][1]):
                    earlier_one = int(owner[candidate])
                    yield number, _conflict(program, views[index], views[candidate], earlier_one)


def _operands(
    program: Program,
) -> tuple[list[tuple[str, View]], np.ndarray, np.ndarray, np.ndarray]:
    """All operands in writable memory: view, instruction, (space, index, bytes), written or not."""
    views, owner = [], []
    for number, instruction in enumerate(program.instructions):
        for name, view in operands(instruction):
            if view.space not in READ_ONLY:
                views.append((name, view))
                owner.append(number)
    box = np.array([(v.space, v.index, v.offset, v.end) for _, v in views], np.int64)
    return views, np.array(owner), box.reshape(-1, 4), np.array([n == "out" for n, _ in views])


def operands(instruction: Instruction) -> list[tuple[str, View]]:
    """The operands that an instruction has, by name."""
    named = [(name, getattr(instruction, name)) for name in ("out", "a", "b", "weight")]
    return [(name, view) for name, view in named if view is not None]


def overlap(a: View, b: View) -> bool:
    """Whether two views of one memory share a byte."""
    low, high = max(a.offset, b.offset), min(a.end, b.end)
    if low >= high:
        return False
    if dense(a) and dense(b):
        return True
    begin, end = min(a.offset, b.offset), max(a.end, b.end)
    touched = np.zeros(end - begin, bool)
    for byte in range(a.dtype.size):
        _bytes(touched, a, begin - byte)[...] = True
    return any(_bytes(touched, b, begin - byte).any() for byte in range(b.dtype.size))


def dense(view: View) -> bool:
    """Whether a view has no gaps."""
    return view.end - view.offset == int(np.prod(view.shape)) * view.dtype.size


def _bytes(touched: np.ndarray, view: View, begin: int) -> np.ndarray:
    return np.ndarray(view.shape, bool, touched, view.offset - begin, view.strides)


def _conflict(
    program: Program, own: tuple[str, View], other: tuple[str, View], earlier: int
) -> Wrong:
    instruction = program.instructions[earlier]
    return Wrong(
        at(*own),
        f"it may run beside instruction {earlier} ({instruction.opcode.name}, layer "
        f"{instruction.layer}), unit {instruction.unit.name}, whose {at(*other)} shares bytes",
        "a wait that orders the two",
    )
