"""Night, a moving shadow, drifting fog: both images, each as much as asked for."""

from __future__ import annotations

import numpy as np
import pytest

from hat.data.synthesis.effects import EFFECTS, add_effects, effects_by_name
from hat.data.synthesis.light import change_light

WHITE = np.full((96, 128, 3), 220, np.uint8)


def test_nothing_without_probability() -> None:
    first, second = change_light(np.random.default_rng(0), WHITE, WHITE, 0, 0, 0)
    assert np.array_equal(first, WHITE)
    assert np.array_equal(second, WHITE)


def test_night_is_dark_in_both_images_alike() -> None:
    middle = np.random.default_rng(0).integers(0, 200, WHITE.shape, dtype=np.uint8)
    brightness = []
    for seed in range(20):
        first, second = change_light(np.random.default_rng(seed), middle, middle, 1, 0, 0)
        assert np.array_equal(first, second)
        brightness.append(first.mean() / middle.mean())
    assert max(brightness) < 0.95
    assert np.median(brightness) < 0.5


@pytest.mark.parametrize("shares", [(0, 1, 0), (0, 0, 1)])
def test_shadow_and_fog_move(shares: tuple[int, int, int]) -> None:
    differ = []
    for seed in range(12):
        first, second = change_light(np.random.default_rng(seed), WHITE, WHITE, *shares)
        assert first.shape == WHITE.shape
        assert first.max() <= 240
        differ.append(not np.array_equal(first, second))
        assert (first == first[..., :1]).all(), "grey stays grey"
    assert np.mean(differ) > 0.8
    assert WHITE.min() == WHITE.max() == 220


def test_full_effects_do_more_than_basic_ones() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 40, 56, 3), dtype=np.uint8)
    untouched = {}
    for name, effects in EFFECTS.items():
        kept = [
            np.array_equal(
                add_effects(np.random.default_rng(seed), first, second, effects)[0], first
            )
            for seed in range(300)
        ]
        untouched[name] = np.mean(kept)
    assert untouched["full"] + 0.1 < untouched["basic"]


def test_effects_by_name() -> None:
    assert effects_by_name(False) is None
    assert effects_by_name(True) is EFFECTS["basic"]
    assert effects_by_name("full") is EFFECTS["full"]
    with pytest.raises(ValueError, match="one of basic, full"):
        effects_by_name("rain")
