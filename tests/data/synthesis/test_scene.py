from __future__ import annotations

import numpy as np
import pytest

from hat.data.synthesis import motions as module
from hat.data.synthesis.affine import similarity_about
from hat.data.synthesis.distributions import BACKGROUND_MOTION
from hat.data.synthesis.scene import random_scene


def test_a_scene_has_16_to_24_objects_spread_over_twice_the_image():
    scenes = [random_scene(np.random.default_rng(i), (384, 512)) for i in range(100)]
    counts = {len(scene.layers) - 1 for scene in scenes}
    assert (min(counts), max(counts)) == (16, 24)
    centres = np.array(
        [layer.texture_to_image[:2, 2] for scene in scenes for layer in scene.layers[1:]]
    )
    for axis, side in enumerate((512, 384)):
        low, high = centres[:, axis].min(), centres[:, axis].max()
        assert -side / 2 - 1 <= low < -side / 2 + 10
        assert 1.5 * side - 10 < high <= 1.5 * side
        inside = (centres[:, axis] > 0) & (centres[:, axis] < side)
        assert inside.mean() == pytest.approx(0.5, abs=0.04)


def test_objects_move_relative_to_the_background(monkeypatch):
    background = similarity_about((100.0, 50.0), 0.2, 1.1, (5.0, -3.0))
    own = similarity_about((10.0, 20.0), -0.4, 0.9, (30.0, 8.0))

    def motion(rng, ranges, centre, unit):
        return background if ranges is BACKGROUND_MOTION else own

    monkeypatch.setattr(module, "random_motion", motion)
    scene = random_scene(np.random.default_rng(0), (100, 200))
    assert np.array_equal(scene.layers[0].motion, background)
    for layer in scene.layers[1:]:
        assert layer.motion == pytest.approx(background @ own)


def test_motions_are_about_the_middle_of_the_thing_that_moves(monkeypatch):
    centres = []

    def motion(rng, ranges, centre, unit):
        centres.append(centre)
        return np.eye(3)

    monkeypatch.setattr(module, "random_motion", motion)
    scene = random_scene(np.random.default_rng(1), (100, 200))
    assert centres[0] == (99.5, 49.5)
    for centre, layer in zip(centres, scene.layers, strict=True):
        assert layer.texture_to_image[:2, 2] == pytest.approx(centre)
        if layer.parts:  # outlines lie around it
            points = np.concatenate([part.outline for part in layer.parts])
            assert (points.min(axis=0) < np.add(centre, 90)).all()
            assert (points.max(axis=0) > np.subtract(centre, 90)).all()


def test_the_unit_scales_outlines_but_not_textures():
    one = random_scene(np.random.default_rng(2), (384, 512), 1.0)
    half = random_scene(np.random.default_rng(2), (384, 512), 0.5)
    for large, small in zip(one.layers[1:], half.layers[1:], strict=True):
        assert small.texture_to_image == pytest.approx(large.texture_to_image)
        extents = [np.ptp(layer.parts[0].outline, axis=0) for layer in (large, small)]
        assert extents[1] == pytest.approx(extents[0] / 2)
