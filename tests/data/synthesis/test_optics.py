"""Smear, defocus, haze and shadows change the images of each layer and never the flow."""

from __future__ import annotations

import numpy as np
import pytest

from hat.data.synthesis.affine import translation
from hat.data.synthesis.optics import Optics, line_kernel, random_optics
from hat.data.synthesis.render import render_pair
from hat.data.synthesis.scene import Layer, Scene, random_scene
from hat.data.synthesis.shapes import Part
from hat.data.synthesis.textures import procedural_texture
from tests.data.synthesis.test_render import seen_in_both, warp

SIZE = (120, 160)


@pytest.mark.parametrize(("x", "y"), [(8.0, 0.0), (0.0, 5.5), (6.0, -6.0), (-3.3, 9.1)])
def test_a_line_kernel_averages_along_its_line(x: float, y: float) -> None:
    kernel = line_kernel(x, y)
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
    at = np.arange(len(kernel)) - len(kernel) // 2
    length = np.hypot(x, y)
    along = (at * x + at[:, None] * y) / length
    across = (at * y - at[:, None] * x) / length
    assert (kernel * along**2).sum() == pytest.approx(length**2 / 12, rel=0.25)
    assert (kernel * across**2).sum() < 0.5


OPTICS = {
    "shutter": Optics(exposure=0.6),
    "defocus": Optics(defocus=tuple(np.linspace(2.5, 0, 8))),
    "haze": Optics(haze=tuple(np.linspace(0.6, 0.1, 8)), haze_colour=(200, 205, 210)),
    "shadow": Optics(shadow=(8, 6), shadow_strength=0.5, shadow_softness=2.0),
}


@pytest.mark.parametrize("name", OPTICS)
def test_the_flow_stays_and_still_matches_the_images(name: str) -> None:
    errors = []
    for index in range(4):
        rng = np.random.default_rng((5, index))
        scene = random_scene(rng, SIZE, 0.4, "spread", objects=(7, 7))
        sharp = render_pair(scene, procedural_texture)
        p = render_pair(scene, procedural_texture, OPTICS[name])
        assert np.array_equal(p.flow, sharp.flow)
        assert np.array_equal(p.labels1, sharp.labels1)
        assert not np.array_equal(p.image1, sharp.image1)
        seen = seen_in_both(p)
        image1, image2 = p.image1.astype(np.float32), p.image2.astype(np.float32)
        errors.append(
            [
                np.abs(warp(image2, p.flow + np.float32((off, off))) - image1)[seen].mean()
                for off in (0.0, 1.5, -1.5)
            ]
        )
    exact, *off = np.mean(errors, axis=0)
    assert exact < 4.0  # grey levels: borders spread over pixels that belong to other surfaces
    assert min(off) > 1.15 * exact


def square_scene(background: np.ndarray) -> Scene:
    square = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], np.float64) - 0.5
    seed = np.random.SeedSequence(0)
    layers = (
        Layer((), background, np.eye(3), seed),
        Layer((Part(square),), translation(12, 0), translation(30, 30), seed),
    )
    return Scene((64, 80), layers)


def grey(rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
    return np.full((64, 64, 3), 60 if background else 200, np.uint8)


def test_smear_is_along_the_motion_and_about_the_place() -> None:
    p = render_pair(square_scene(np.eye(3)), grey, Optics(exposure=0.5))
    row = p.image1[30, :, 0].astype(float)
    # 6 px of smear: halfway between the levels at the border, level again 3 px beyond
    assert (row[19] + row[20]) / 2 == pytest.approx(130, abs=8)
    assert row[24] == 200
    assert row[15] == 60
    assert 70 < row[18] < row[21] < 190
    column = p.image1[:, 30, 0]
    assert column[18] == 60
    assert column[22] == 200


def test_a_shadow_falls_on_what_is_behind_and_moves_with_its_object() -> None:
    optics = Optics(shadow=(10, 5), shadow_strength=0.5, shadow_softness=1.0)
    p = render_pair(square_scene(np.eye(3)), grey, optics)
    assert p.image1[40, 45, 0] == pytest.approx(30, abs=2)  # below and right of the square
    assert p.image2[40, 57, 0] == pytest.approx(30, abs=2)
    assert p.image1[30, 30, 0] == 200
    assert p.image1[10, 10, 0] == 60
    assert p.flow[40, 45].tolist() == [0, 0]


def test_haze_and_defocus_are_those_of_the_layer() -> None:
    optics = Optics(haze=(0.5, 0.0), haze_colour=(160, 160, 160), defocus=(0.0, 2.0))
    p = render_pair(square_scene(np.eye(3)), grey, optics)
    assert p.image1[5, 5, 0] == 110
    assert p.image1[30, 30, 0] == 200
    assert 130 < p.image1[30, 20, 0] < 180, "a soft border"
    # at the picture's edge nothing is missing
    assert p.image1[0, 0, 0] == p.image1[63, 79, 0] == 110


def test_random_optics_have_what_is_probable() -> None:
    rng = np.random.default_rng(0)
    assert random_optics(rng, 5, 0, 0, 0, 0) is None
    drawn = [random_optics(rng, 5, 0.5, 0.5, 0.5, 0.5) for _ in range(200)]
    found = [optics for optics in drawn if optics is not None]
    assert 170 < len(found) < 200
    for seen in (
        [optics.exposure > 0 for optics in found],
        [len(optics.defocus) == 5 for optics in found],
        [len(optics.haze) == 5 for optics in found],
        [optics.shadow_strength > 0 for optics in found],
    ):
        assert 0.4 < np.mean(seen) < 0.7
    for optics in found:
        assert list(optics.haze) == sorted(optics.haze, reverse=True), "far things are paler"
