"""Light, blur and compression change images, and only images."""

from __future__ import annotations

import numpy as np

from hat.data.synthesis.effects import add_effects


def test_every_effect_happens_and_sizes_stay() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 40, 56, 3), dtype=np.uint8)
    kept = first.copy()
    changed = untouched = only_one = 0
    for seed in range(60):
        one, other = add_effects(np.random.default_rng(seed), first, second)
        assert one.shape == other.shape == first.shape
        assert one.dtype == other.dtype == np.uint8
        same = np.array_equal(one, first), np.array_equal(other, second)
        untouched += all(same)
        changed += not any(same)
        only_one += sum(same) == 1
    assert min(changed, untouched, only_one) > 3
    assert np.array_equal(first, kept)


def test_same_generator_same_images() -> None:
    first, second = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    runs = [add_effects(np.random.default_rng(7), first, second) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
