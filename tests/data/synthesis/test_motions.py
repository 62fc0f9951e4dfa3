"""The named distributions of motions: what their lengths are like."""

from __future__ import annotations

import numpy as np
import pytest

from hat.data.synthesis.motions import MOTIONS, SPREAD_REACH, draw_name, scene_motion
from hat.data.synthesis.published import sintel_shares
from hat.data.synthesis.render import render_flow
from hat.data.synthesis.scene import random_scene
from hat.data.synthesis.statistics import FlowStatistics

SIZE = (96, 128)


def background_lengths(name: str, count: int = 400) -> np.ndarray:
    """How far the middle of the picture moves, px."""
    middle = np.array([(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2, 1.0])
    lengths = []
    for seed in range(count):
        motion = scene_motion(name, np.random.default_rng(seed), SIZE).background
        lengths.append(np.hypot(*(motion @ middle - middle)[:2]))
    return np.array(lengths)


def test_spread_is_even() -> None:
    share, _ = np.histogram(background_lengths("spread"), bins=4, range=(0, SPREAD_REACH))
    assert share.sum() == 400
    assert share.min() > 70


def test_small_has_sub_pixel_motions_and_nothing_large() -> None:
    lengths = background_lengths("small")
    assert lengths.min() >= 0.1
    assert lengths.max() <= 5.0
    assert 0.3 < np.mean(lengths < 0.7) < 0.7


def test_sintel_is_mostly_slow_with_a_heavy_tail() -> None:
    lengths = background_lengths("sintel")
    assert 0.5 < np.mean(lengths < 10) < 0.68
    assert 0.07 < np.mean(lengths > 40) < 0.18
    assert lengths.max() <= 200.001


def test_pixels_of_sintel_scenes_have_the_published_shares_of_speeds() -> None:
    """At a quarter of the size with a quarter of the lengths; 300 scenes, so within some points."""
    statistics = FlowStatistics()
    for seed in range(300):
        rng = np.random.default_rng((3, seed))
        statistics.add(4 * render_flow(random_scene(rng, SIZE, 0.25, "sintel"))[::4, ::4])
    published, _, _ = sintel_shares()
    np.testing.assert_allclose(statistics.shares(), published, atol=0.07)


def test_driving_expands_from_a_point() -> None:
    zooms = [
        np.sqrt(np.linalg.det(scene_motion("driving", np.random.default_rng(s), SIZE).background))
        for s in range(100)
    ]
    assert np.mean(np.array(zooms) > 1) > 0.7


@pytest.mark.parametrize("name", MOTIONS)
def test_every_name_draws_a_scene_again(name: str) -> None:
    flows = [
        render_flow(random_scene(np.random.default_rng(5), SIZE, motion=name, objects=(1, 4)))
        for _ in range(2)
    ]
    assert np.isfinite(flows[0]).all()
    assert np.array_equal(*flows)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of chairs, spread"):
        scene_motion("fast", np.random.default_rng(0), SIZE)


def test_weights_say_how_often() -> None:
    rng = np.random.default_rng(0)
    names = [draw_name(rng, {"small": 3.0, "chairs": 1.0}) for _ in range(400)]
    assert 0.68 < names.count("small") / 400 < 0.82
