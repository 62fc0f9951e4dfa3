"""Layers of the background: parallax about the middle, with exact flow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hat.data.synthesis.affine import similarity_about
from hat.data.synthesis.backdrops import nearer, random_backdrop
from hat.data.synthesis.render import render_pair
from hat.data.synthesis.scene import random_scene
from hat.data.synthesis.textures import procedural_texture
from tests.data.synthesis.test_render import seen_in_both, warp

SIZE = (96, 128)
MIDDLE = (63.5, 47.5)


def test_a_nearer_surface_shifts_and_grows_faster_and_turns_alike() -> None:
    motion = similarity_about(MIDDLE, 0.2, 1.1, (4.0, -3.0))
    np.testing.assert_allclose(nearer(motion, MIDDLE, 1.0), motion, atol=1e-12)
    near = nearer(motion, MIDDLE, 2.0)
    moved = near @ (*MIDDLE, 1.0)
    np.testing.assert_allclose(moved[:2] - MIDDLE, (8.0, -6.0), atol=1e-9)
    assert np.linalg.det(near[:2, :2]) == pytest.approx(1.1**4)
    assert math.atan2(near[1, 0], near[0, 0]) == pytest.approx(0.2)


def test_outlines_go_on_beyond_the_picture_or_are_large() -> None:
    rng, kinds = np.random.default_rng(0), set()
    for _ in range(60):
        parts = random_backdrop(rng, SIZE)
        extent = max(np.ptp(part.outline, axis=0).max() for part in parts)
        assert extent > 0.4 * SIZE[0]
        assert all(np.isfinite(part.outline).all() for part in parts)
        kinds.add("wall" if any(part.hole for part in parts) else extent > 3 * SIZE[1])
    assert kinds == {"wall", True, False}


def test_layers_come_in_order_and_only_where_asked_for() -> None:
    for seed in range(10):
        scene = random_scene(
            np.random.default_rng(seed), SIZE, motion="spread", objects=(2, 2),
            background_layers=(3, 3),
        )  # fmt: skip
        backdrop = [layer.backdrop for layer in scene.layers]
        assert backdrop == [False, True, True, False, False]
        at = np.array((*MIDDLE, 1.0))
        far, middle, near = (np.hypot(*(m.motion @ at - at)[:2]) for m in scene.layers[:3])
        assert far < middle < near
    counts = {
        len(random_scene(np.random.default_rng(s), SIZE, objects=(0, 0), background_layers=(1, 3))
            .layers)
        for s in range(30)
    }  # fmt: skip
    assert counts == {1, 2, 3}


@pytest.mark.parametrize("index", range(5))
def test_warping_image_2_by_the_flow_gives_image_1(index: int) -> None:
    rng = np.random.default_rng((31, index))
    scene = random_scene(rng, SIZE, 0.25, "driving", (0, 2), background_layers=(2, 4))
    p = render_pair(scene, procedural_texture)
    seen = seen_in_both(p)
    assert seen.mean() > 0.3
    image1, image2 = p.image1.astype(np.float32), p.image2.astype(np.float32)

    def error(off: float) -> float:
        return float(np.abs(warp(image2, p.flow + np.float32((off, off))) - image1)[seen].mean())

    assert error(0) < 1.5
    assert min(error(0.7), error(-0.7)) > 1.7 * error(0)
    for label in np.unique(p.labels1):
        y, x = np.argwhere(p.labels1 == label)[0]
        expected = (scene.layers[label].motion @ (x, y, 1.0))[:2] - (x, y)
        np.testing.assert_allclose(p.flow[y, x], expected, atol=1e-4)
