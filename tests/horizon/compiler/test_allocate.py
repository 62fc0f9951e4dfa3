"""Blocks that live at the same time never overlap; arenas have the sizes they had."""

from __future__ import annotations

import numpy as np
import pytest

from horizon.compiler.allocate import ORDERS, Block, allocate, arena_bytes, smallest_arena


def random_blocks(seed: int, count: int = 60) -> list[Block]:
    rng = np.random.default_rng(seed)
    blocks = []
    for number in range(count):
        first = int(rng.integers(0, 40))
        life = int(rng.integers(0, 40 - first)) if number % 5 == 0 else int(rng.integers(0, 3))
        blocks.append(Block(f"b{number}", 64 * int(rng.integers(1, 50)), first, first + life))
    return blocks


def at_once(blocks: list[Block]) -> int:
    """The largest sum of blocks that live at the same time: no arena can be smaller."""
    steps = range(max(block.last for block in blocks) + 1)
    return max(sum(b.nbytes for b in blocks if b.first <= step <= b.last) for step in steps)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(5))
def test_blocks_of_overlapping_lifetimes_do_not_overlap(order: str, seed: int) -> None:
    blocks = random_blocks(seed)
    offsets = allocate(blocks, order)
    assert offsets.keys() == {block.name for block in blocks}
    for index, a in enumerate(blocks):
        assert offsets[a.name] % 64 == 0
        for b in blocks[:index]:
            if a.first <= b.last and b.first <= a.last:
                start, other = offsets[a.name], offsets[b.name]
                assert start + a.nbytes <= other or other + b.nbytes <= start
    assert at_once(blocks) <= arena_bytes(blocks, offsets) < sum(b.nbytes for b in blocks)


def test_the_smallest_gap_is_taken() -> None:
    blocks = [
        Block("wide", 640, 0, 0),
        Block("low", 512, 0, 1),
        Block("narrow", 320, 0, 0),
        Block("top", 256, 0, 1),
        Block("late", 192, 1, 1),  # fits the gaps that wide and narrow leave
    ]
    offsets = allocate(blocks)
    assert offsets == {"wide": 0, "low": 640, "narrow": 1152, "top": 1472, "late": 1152}


def test_golden_arenas() -> None:
    blocks = random_blocks(0)
    found = {order: arena_bytes(blocks, allocate(blocks, order)) for order in ORDERS}
    assert at_once(blocks) == 19776
    assert found == {"size": 19776, "lifetime": 19776, "area": 19776, "time": 22400}


def test_smallest_arena_is_the_smallest() -> None:
    for seed in range(5):
        blocks = random_blocks(seed)
        sizes = [arena_bytes(blocks, allocate(blocks, order)) for order in ORDERS]
        offsets, size = smallest_arena(blocks, list(ORDERS))
        assert size == min(sizes) == arena_bytes(blocks, offsets)


def test_nothing_needs_nothing() -> None:
    assert smallest_arena([], ["size"]) == ({}, 0)
