"""Cascades: consecutive layers that run together, stripe by stripe of rows.

A stripe of the tensors between the layers fits the SRAM even if the whole maps do not. Each stripe
has its own buffers. Rows that two stripes need are computed twice, or loaded twice if they come
from outside the cascade (Alwani et al., "Fused-layer CNN accelerators").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from horizon.compiler.geometry import Interval, tensor_part, whole_map
from horizon.compiler.layout import Buffer, Place, PlacedGraph, dense_strides
from horizon.compiler.plan import overlap
from horizon.compiler.tasks import Operand, Task
from horizon.hbir.operators import operator_of
from horizon.hbm.records import Space


@dataclass(frozen=True)
class Cascade:
    """Tasks ``first`` to ``last`` (included), and the number of stripes."""

    first: int
    last: int
    stripes: int


class Group:
    """Consecutive tasks, and the buffers between them.

    Attributes:
        inner: buffers that tasks of the group both write and read.
        leaving: for each task, whether its output is needed after the group.
    """

    def __init__(self, placed: PlacedGraph, tasks: Sequence[Task], first: int, last: int) -> None:
        self.placed = placed
        self.tasks = tasks[first : last + 1]
        written = {task.out.place.buffer for task in self.tasks}
        read = {operand.place.buffer for task in self.tasks for operand in sources(task).values()}
        self.inner = sorted(
            name for name in written & read if placed.buffers[name].space is Space.none
        )
        later = [operand for task in tasks[last + 1 :] for operand in sources(task).values()]
        self.leaving = [
            placed.buffers[task.out.place.buffer].space is Space.output
            or any(overlap(operand, task.out) for operand in later)
            for task in self.tasks
        ]

    def is_possible(self) -> bool:
        """Whether the group can be cut into stripes of rows.

        It cannot if a task makes or needs only whole maps of an inner buffer, or if a task uses
        only some images, rows or columns of one.
        """
        for task in self.tasks:
            if task.node is not None and not operator_of(task.node).cuts_map:
                return False
            for name, operand in task.operands.items():
                if operand.place.buffer not in self.inner:
                    continue
                if operand.shape[:3] != self.placed.buffers[operand.place.buffer].shape[:3]:
                    return False
                if whole_map(task, name):
                    return False
        return bool(self.inner)

    def rows(self, stripe: int, stripes: int) -> list[Interval | None]:
        """For each task, the rows of its output that a stripe computes; None for no rows."""
        result: list[Interval | None] = [None] * len(self.tasks)
        for index in reversed(range(len(self.tasks))):
            task = self.tasks[index]
            wanted = [own] if (own := self.own_rows(index, stripe, stripes)) else []
            for reader, rows in zip(self.tasks[index + 1 :], result[index + 1 :], strict=True):
                if rows is None:
                    continue
                wanted += [
                    read_rows(reader, name, rows)
                    for name, operand in sources(reader).items()
                    if overlap(operand, task.out)
                ]
            if wanted:
                result[index] = min(start for start, _ in wanted), max(stop for _, stop in wanted)
        return result

    def own_rows(self, index: int, stripe: int, stripes: int) -> Interval | None:
        """The rows of a task's output that this stripe hands on to later tasks; None for none."""
        height = self.tasks[index].out.shape[1]
        start, stop = stripe * height // stripes, (stripe + 1) * height // stripes
        return (start, stop) if self.leaving[index] and start < stop else None


@dataclass(frozen=True)
class Stripe:
    """The tasks of one stripe, and its own buffers by the name of the whole buffer."""

    tasks: list[Task]
    buffers: dict[str, Buffer]


def make_stripe(group: Group, stripe: int, stripes: int) -> Stripe:
    """The tasks of one stripe, with copies of data that enter from outside or leave."""
    rows = group.rows(stripe, stripes)
    parts = _StripeBuffers(group, stripe, rows)
    tasks = [task for name in group.inner for task in parts.entering(name)]
    for index, task in enumerate(group.tasks):
        made = rows[index]
        if made is None:
            continue
        inputs = {
            name: operand
            if whole_map(task, name)
            else parts.inside(operand, read_rows(task, name, made))
            for name, operand in sources(task).items()
        }
        out = parts.inside(task.out, made)
        tasks.append(replace(task, out=out, a=inputs["a"], b=inputs.get("b")))
        own = group.own_rows(index, stripe, stripes)
        if own and task.out.place.buffer in group.inner:
            inside, outside = parts.inside(task.out, own), part_of(task.out, own)
            tasks.append(Task(task.layer, outside, inside))
    return Stripe(tasks, parts.buffers)


def cascaded(
    placed: PlacedGraph, tasks: Sequence[Task], cascades: Sequence[Cascade]
) -> tuple[PlacedGraph, list[Task]]:
    """The program in which the stripes of these cascades replace their tasks.

    Cascades must not overlap.
    """
    buffers = dict(placed.buffers)
    result: list[Task] = []
    done = 0
    for cascade in cascades:
        result += tasks[done : cascade.first]
        group = Group(placed, tasks, cascade.first, cascade.last)
        for number in range(cascade.stripes):
            stripe = make_stripe(group, number, cascade.stripes)
            result += stripe.tasks
            buffers |= {buffer.name: buffer for buffer in stripe.buffers.values()}
        done = cascade.last + 1
    result += tasks[done:]
    return replace(placed, buffers=buffers), result


def sources(task: Task) -> dict[str, Operand]:
    """The operands that a task reads, without weights."""
    return {name: operand for name, operand in task.operands.items() if name != "out"}


def read_rows(task: Task, name: str, rows: Interval) -> Interval:
    """The rows of an input that ``rows`` of the output need: within the input, at least one."""
    height = task.operands[name].shape[1]
    start, stop = tensor_part(task, name, 1, rows) or (0, height)
    start = min(max(start, 0), height - 1)
    return start, min(max(stop, start + 1), height)


def part_of(operand: Operand, rows: Interval) -> Operand:
    """Some rows of an operand, where it lies."""
    start, stop = rows
    n, _, x, c = operand.start
    batch, _, width, channels = operand.shape
    place = replace(operand.place, row=operand.place.row + start)
    shape = (batch, stop - start, width, channels)
    return Operand(operand.tensor, shape, place, (n, operand.start[1] + start, x, c))


class _StripeBuffers:
    """Where a stripe's parts of tensors lie."""

    def __init__(self, group: Group, stripe: int, rows: list[Interval | None]) -> None:
        self.buffers: dict[str, Buffer] = {}
        self._origins: dict[str, tuple[int, int]] = {}
        self._reads: dict[str, list[tuple[Task, Operand, Interval]]] = {}
        self._whole = group.placed.buffers
        self._layer = group.tasks[0].layer
        writes: dict[str, list[tuple[Operand, Interval]]] = {name: [] for name in group.inner}
        self._reads = {name: [] for name in group.inner}
        for task, made in zip(group.tasks, rows, strict=True):
            if made is None:
                continue
            if task.out.place.buffer in group.inner:
                writes[task.out.place.buffer].append((task.out, made))
            for name, operand in sources(task).items():
                if operand.place.buffer in group.inner:
                    part = task, operand, read_rows(task, name, made)
                    self._reads[operand.place.buffer].append(part)
        self._written = {
            name: _channels(self._whole[name], [operand for operand, _ in writes[name]])
            for name in group.inner
        }
        for name in group.inner:
            used = writes[name] + [(operand, part) for _, operand, part in self._reads[name]]
            if used:
                self._make_buffer(name, stripe, used)

    def _make_buffer(self, name: str, stripe: int, used: list[tuple[Operand, Interval]]) -> None:
        whole = self._whole[name]
        top = min(start for _, (start, _) in used)
        bottom = max(stop for _, (_, stop) in used)
        left = min(operand.place.channel for operand, _ in used)
        right = max(operand.place.channel + operand.shape[3] for operand, _ in used)
        shape = (whole.shape[0], bottom - top, whole.shape[2], right - left)
        strides = dense_strides(shape, whole.dtype)
        own = f"stripe {stripe} {self._layer} {name}"
        self.buffers[name] = Buffer(own, Space.none, whole.dtype, shape, strides)
        self._origins[name] = top, left

    def inside(self, operand: Operand, rows: Interval) -> Operand:
        """Some rows of an operand, in the stripe's buffer if it has one for them."""
        part = part_of(operand, rows)
        name = operand.place.buffer
        if name not in self.buffers:
            return part
        top, left = self._origins[name]
        place = Place(
            self.buffers[name].name,
            part.place.batch,
            part.place.channel - left,
            part.place.row - top,
        )
        return replace(part, place=place)

    def entering(self, name: str) -> Iterator[Task]:
        """Copies into a stripe's buffer of channels that the stripe reads but does not compute."""
        missing = ~self._written[name]
        for task, operand, _ in self._reads[name]:
            for start, stop in _runs(missing & _channels(self._whole[name], [operand])):
                missing[start:stop] = False
                n, y, x, c = operand.start
                first = c + start - operand.place.channel
                batch, height, width, _ = operand.shape
                place = replace(operand.place, channel=start)
                run = Operand(
                    operand.tensor, (batch, height, width, stop - start), place, (n, y, x, first)
                )
                rows = self._rows_read(name, start, stop)
                yield Task(task.layer, self.inside(run, rows), part_of(run, rows))

    def _rows_read(self, name: str, start: int, stop: int) -> Interval:
        """The rows of these channels that the stripe reads."""
        rows = [
            part
            for _, operand, part in self._reads[name]
            if operand.place.channel < stop and start < operand.place.channel + operand.shape[3]
        ]
        return min(begin for begin, _ in rows), max(end for _, end in rows)


def _channels(buffer: Buffer, operands: Sequence[Operand]) -> np.ndarray:
    """A mask of the buffer's channels that the operands cover."""
    found = np.zeros(buffer.shape[3], bool)
    for operand in operands:
        found[operand.place.channel : operand.place.channel + operand.shape[3]] = True
    return found


def _runs(flags: np.ndarray) -> list[Interval]:
    """Start and stop of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
