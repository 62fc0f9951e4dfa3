"""Erased boxes: only in image 2, in its mean colour, as many and as large as asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hat.data.transforms import RandomErase
from tests.data.transforms.pairs import arrays, make_sample


def erased(transform: RandomErase, seed: int, layout: str = "hwc") -> tuple[Any, Any]:
    """Where image 2 changed, and the pair afterwards."""
    before = arrays(make_sample(layout))
    after = arrays(transform(make_sample(layout), np.random.default_rng(seed)))
    assert np.array_equal(before[0][..., :3], after[0][..., :3])
    assert np.array_equal(before[1], after[1])
    return (before[0] != after[0]).any(axis=2), after[0]


@pytest.mark.parametrize("layout", ["hwc", "chw"])
def test_one_box_of_one_size_in_the_mean_colour(layout: str) -> None:
    transform = RandomErase(p=1.0, count=(1, 1), size=(12, 12))
    mean = np.rint(arrays(make_sample())[0][..., 3:].mean(axis=(0, 1)))
    whole = 0
    for seed in range(20):
        changed, pair = erased(transform, seed, layout)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        box = pair[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, 3:]
        assert (box == mean).all()
        assert max(box.shape[:2]) <= 12
        whole += box.shape[:2] == (12, 12)
    assert whole > 8, "a box that is not cut off by the border has its size"


def test_sizes_and_counts_of_the_default() -> None:
    transform = RandomErase(p=1.0)
    shares = []
    for seed in range(40):
        pair, _, _ = arrays(make_sample(height=384, width=512))
        data = transform(make_sample(height=384, width=512), np.random.default_rng(seed))
        shares.append((arrays(data)[0] != pair).any(axis=2).sum())
    assert max(shares) <= 3 * 100 * 100
    assert max(shares) > 10_000, "more than one box"
    assert 2_500 < np.median(shares) < 15_000


def test_probability_and_arrays_that_stay() -> None:
    counts = sum(erased(RandomErase(p=0.5), seed)[0].any() for seed in range(60))
    assert 18 < counts < 42
    sample = make_sample()
    before = sample["img"].copy()
    image = sample["img"]
    RandomErase(p=1.0)(sample, np.random.default_rng(0))
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": 1.5}, "p is a probability"),
        ({"count": (0, 3)}, "count is"),
        ({"count": (3, 1)}, "count is"),
        ({"size": (50,)}, "size is"),
        ({"size": (1.5, 3)}, "size is"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomErase(**arguments)
