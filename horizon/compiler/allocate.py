"""Addresses in one arena for blocks of memory with limited lifetimes.

Greedy by size, best fit (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference", section 5). Blocks are placed in order, the largest first. Each goes into the smallest
gap between the placed blocks that live at the same time, or behind them if no gap is large enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Block:
    """Memory that is needed from step ``first`` to step ``last``, both included.

    Its size is a multiple of the alignment of all blocks of its arena.
    """

    name: str
    nbytes: int
    first: int
    last: int


Order = Callable[[Block], tuple]
ORDERS: dict[str, Order] = {
    "size": lambda block: (-block.nbytes, block.first, block.name),
    "lifetime": lambda block: (block.first - block.last, -block.nbytes, block.name),
    "area": lambda block: (-block.nbytes * (block.last - block.first + 1), block.name),
    "time": lambda block: (block.first, -block.nbytes, block.name),
}


def allocate(blocks: Sequence[Block], order: str = "size") -> dict[str, int]:
    """Offsets by name; blocks that are needed at the same time do not overlap.

    Args:
        order: the key of ``ORDERS`` by which blocks are sorted before they are placed.
    """
    ordered = sorted(blocks, key=ORDERS[order])
    first, last, start, end = (np.zeros(len(blocks), np.int64) for _ in range(4))
    for index, block in enumerate(ordered):
        together = (first[:index] <= block.last) & (last[:index] >= block.first)
        at = _best_gap(start[:index][together], end[:index][together], block.nbytes)
        first[index], last[index] = block.first, block.last
        start[index], end[index] = at, at + block.nbytes
    return {block.name: int(at) for block, at in zip(ordered, start, strict=True)}


def arena_bytes(blocks: Sequence[Block], offsets: dict[str, int]) -> int:
    """The size of an arena that holds all blocks."""
    return max((offsets[block.name] + block.nbytes for block in blocks), default=0)


def smallest_arena(blocks: Sequence[Block], orders: Sequence[str]) -> tuple[dict[str, int], int]:
    """The offsets of the order that needs the smallest arena, and its size."""
    found = [(offsets := allocate(blocks, order), arena_bytes(blocks, offsets)) for order in orders]
    return min(found, key=lambda pair: pair[1])


def _best_gap(start: np.ndarray, end: np.ndarray, size: int) -> int:
    """The start of the smallest gap of at least ``size`` bytes, else the end of all."""
    order = np.argsort(start, kind="stable")
    # Where the blocks before each block end (0 before the first), and where all of them end.
    before = np.maximum.accumulate(np.concatenate([[0], end[order]]))
    gaps = start[order] - before[:-1]
    fits = np.flatnonzero(gaps >= size)
    if fits.size:
        return int(before[fits[np.argmin(gaps[fits])]])
    return int(before[-1])
