"""Live bytes of SRAM and DDR over time, from the program's views and the estimate's times alone.

A byte is live from the start of the instruction that writes it to the end of the last instruction
that reads that value. A value that nobody reads lives until its write has ended. Memory is divided
into at most ``PAGES`` pages, and one byte represents its page. That byte is followed exactly,
whatever the strides of a view. A memory of up to ``PAGES`` bytes is counted exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from horizon.hbm.records import Instruction, Space, View
from horizon.perf.estimate import Estimate

PAGES = 4096
MEMORIES = (Space.sram, Space.ddr)
# The golden ratio: the fractional parts of its multiples are spread evenly. So the bytes that
# represent pages hit all channels of a buffer equally often, whatever its pitch.
GOLDEN = (5**0.5 - 1) / 2
Places = slice | np.ndarray


@dataclass(frozen=True)
class Occupation:
    """Live bytes of a memory, a step function.

    Attributes:
        size: bytes of the memory that the program reserves.
        times: seconds, ascending, float64 (n,).
        live: bytes from that time on, int64 (n,); the last is 0.
        page: bytes of a page, which one byte represents: the resolution.
    """

    size: int
    times: np.ndarray
    live: np.ndarray
    page: int

    @property
    def peak(self) -> int:
        return int(self.live.max(initial=0))

    def mean(self, seconds: float) -> float:
        """Mean of the live bytes over the run of ``seconds``."""
        if not seconds:
            return 0.0
        return float((self.live[:-1] * np.diff(self.times)).sum() / seconds)


def occupation(estimate: Estimate) -> dict[str, Occupation]:
    """Live bytes by memory: "sram", of one core, and "ddr", without constants and images."""
    program = estimate.program
    sizes = {Space.sram: program.sram_bytes, Space.ddr: program.ddr_bytes}
    start = np.array([timed.start for timed in estimate.instructions])
    end = np.array([timed.end for timed in estimate.instructions])
    return {
        space.name: _live(program.instructions, space, sizes[space], start, end)
        for space in MEMORIES
    }


def _live(
    instructions: Sequence[Instruction],
    space: Space,
    size: int,
    start: np.ndarray,
    end: np.ndarray,
) -> Occupation:
    count = len(instructions)
    # The later of two readers is the one that ends later, not the one that is listed later.
    by_end = np.argsort(end, kind="stable")
    rank = np.empty(count, np.int64)
    rank[by_end] = np.arange(count)
    pages = _Pages(size)
    last = np.full(len(pages.place), -1)  # rank of the last user of each page's value
    rise = np.zeros(count, np.int64)
    fall = np.zeros(count + 1, np.int64)  # the last entry stands for values that were never written
    for index, instruction in enumerate(instructions):
        for view in _reads(instruction, space):
            where = pages.of(view)
            # Memory that was never written holds no value.
            last[where] = np.where(last[where] < 0, -1, np.maximum(last[where], rank[index]))
        if instruction.out.space is space:
            where = pages.of(instruction.out)
            np.add.at(fall, last[where], pages.weight[where])
            last[where] = rank[index]
            rise[index] = pages.weight[where].sum()
    np.add.at(fall, last, pages.weight)
    times, live = _steps(start, rise, end[by_end], fall[:count])
    return Occupation(size, times, live, pages.bytes)


def _reads(instruction: Instruction, space: Space) -> Iterator[View]:
    for view in (instruction.a, instruction.b, instruction.weight):
        if view is not None and view.space is space:
            yield view


def _steps(
    start: np.ndarray, rise: np.ndarray, end: np.ndarray, fall: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of all changes over time. At equal times, ends come before beginnings."""
    times, change = np.concatenate([end, start]), np.concatenate([-fall, rise])
    times, change = times[change != 0], change[change != 0]
    order = np.argsort(times, kind="stable")
    times, live = times[order], np.cumsum(change[order])
    latest = np.append(times[1:] != times[:-1], True)[: len(times)]
    return times[latest], live[latest]


class _Pages:
    """The pages of a memory, and which of them a view covers.

    Attributes:
        bytes: of a page.
        place: for each page, the offset of the byte that represents it, ascending.
        weight: for each page, its number of bytes.
    """

    def __init__(self, size: int) -> None:
        self.bytes = 1
        while self.bytes * PAGES < size:
            self.bytes *= 2
        first = np.arange(0, size, self.bytes)
        self.weight = np.minimum(self.bytes, size - first)
        parts = np.arange(len(first)) * GOLDEN % 1
        self.place = first + (parts * self.weight).astype(np.int64)
        self._found: dict[tuple[object, ...], Places] = {}

    def of(self, view: View) -> Places:
        """Indices of the pages whose representative byte is in the view."""
        # Slots are used repeatedly with the same shapes.
        key = (view.offset, view.shape, view.strides, view.dtype.size)
        if key not in self._found:
            self._found[key] = self._search(view)
        return self._found[key]

    def _search(self, view: View) -> Places:
        first, end = np.searchsorted(self.place, (view.offset, view.end))
        run, terms = view.dtype.size, []
        pairs = sorted(zip(view.strides, view.shape, strict=True))
        for stride, side in pairs:
            if side == 1 or stride == 0:
                continue
            if stride == run:
                run *= side  # without gaps
            else:
                terms.append((stride, side))
        if not terms:
            return slice(int(first), int(end))
        inside = _inside(self.place[first:end] - view.offset, terms[::-1], run)
        return first + np.flatnonzero(inside)


def _inside(distance: np.ndarray, terms: Sequence[tuple[int, int]], run: int) -> np.ndarray:
    """Which bytes lie in a box.

    Args:
        distance: of each byte from the box's first byte.
        terms: (stride, side) of the axes, largest stride first.
        run: contiguous bytes at each place.
    """
    if not terms:
        found: np.ndarray = (distance >= 0) & (distance < run)
        return found
    (stride, side), *rest = terms
    extent = run + sum((count - 1) * step for step, count in rest)
    result = np.zeros(len(distance), bool)
    # Boxes whose inner part reaches over the outer stride have several places to look at.
    for back in range(-(-extent // stride)):
        multiple = distance // stride - back
        valid = (multiple >= 0) & (multiple < side)
        result |= valid & _inside(distance - multiple * stride, rest, run)
    return result
