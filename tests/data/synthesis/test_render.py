"""The flow is exact: proved by warping, and by hand where the motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hat.data.synthesis.affine import similarity_about, translation
from hat.data.synthesis.render import Pair, render_flow, render_pair
from hat.data.synthesis.scene import Layer, Scene, random_scene
from hat.data.synthesis.shapes import Part
from hat.data.synthesis.textures import procedural_texture

SIZE = (192, 256)


def pair(index: int) -> Pair:
    scene = random_scene(np.random.default_rng((11, index)), SIZE, unit=0.5)
    return render_pair(scene, procedural_texture)


def warp(image: np.ndarray, flow: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """``image`` at p + flow(p)."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], interpolation)


def seen_in_both(p: Pair) -> np.ndarray:
    """Pixels inside a surface of image 1 whose target in image 2 lies inside the same surface."""
    near, far = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)
    h, w = p.labels1.shape
    y, x = np.mgrid[:h, :w] + np.moveaxis(p.flow[..., ::-1], -1, 0)
    seen = (x > 1) & (y > 1) & (x < w - 2) & (y < h - 2)
    seen &= cv2.erode(p.labels1, near) == cv2.dilate(p.labels1, near)
    for neighbours in (cv2.erode(p.labels2, far), cv2.dilate(p.labels2, far)):
        seen &= warp(neighbours, p.flow, cv2.INTER_NEAREST) == p.labels1
    return seen


@pytest.mark.parametrize("index", range(12))
def test_warping_image_2_by_the_flow_gives_image_1(index):
    p = pair(index)
    seen = seen_in_both(p)
    assert seen.mean() > 0.3
    image1, image2 = p.image1.astype(np.float32), p.image2.astype(np.float32)

    def error(off: tuple[float, float]) -> float:
        return float(np.abs(warp(image2, p.flow + np.float32(off)) - image1)[seen].mean())

    exact = error((0, 0))
    assert exact < 1.5  # grey levels
    for off in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)):
        assert error(off) > 1.7 * exact
    for off in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert error(off) > 3 * exact


def test_the_true_flow_is_the_best_of_all_near_ones():
    """Summed over pairs, the error has its minimum at the ground truth, to a tenth of a pixel."""
    offsets = [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]
    errors = np.zeros((2, len(offsets)))
    for index in range(10):
        p = pair(index)
        seen = seen_in_both(p)
        image1, image2 = p.image1.astype(np.float32), p.image2.astype(np.float32)
        for axis in (0, 1):
            for k, offset in enumerate(offsets):
                off = np.zeros(2, np.float32)
                off[axis] = offset
                difference = warp(image2, p.flow + off, cv2.INTER_CUBIC) - image1
                errors[axis, k] += (difference[seen] ** 2).mean()
    for axis in (0, 1):
        assert np.argmin(errors[axis]) == offsets.index(0.0)
        a, b, _ = np.polyfit(offsets, errors[axis], 2)
        assert abs(-b / (2 * a)) < 0.02  # the parabola's lowest point, px


def ramp(rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
    return np.full((64, 64, 3), 40 if background else 200, np.uint8)


def square_scene(motion: np.ndarray, background_motion: np.ndarray) -> Scene:
    square = np.array([[9.5, 9.5], [19.5, 9.5], [19.5, 19.5], [9.5, 19.5]])  # pixels 10 to 19
    seed = np.random.SeedSequence(0)
    layers = (
        Layer((), background_motion, np.eye(3), seed),
        Layer((Part(square),), background_motion @ motion, translation(14.5, 14.5), seed),
    )
    return Scene((40, 50), layers)


def test_a_square_on_pixel_borders_is_drawn_where_it_is():
    p = render_pair(square_scene(translation(7, 3), np.eye(3)), ramp)
    first, second = np.zeros((40, 50), bool), np.zeros((40, 50), bool)
    first[10:20, 10:20] = True
    second[13:23, 17:27] = True
    # Half a sample of four is drawn beyond the border, so the rim is a few grey levels off.
    for image, labels, inside in ((p.image1, p.labels1, first), (p.image2, p.labels2, second)):
        assert np.array_equal(labels == 1, inside)
        assert (image[inside] == 200).all()
        rim = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3))).astype(bool)
        assert (image[~rim] == 40).all()
        assert image[~inside].max() <= 40 + 0.3 * 160


def test_flow_is_the_motion_of_the_surface_in_front():
    background = similarity_about((20.0, 15.0), 0.1, 1.05, (2.0, -1.0))
    own = similarity_about((14.5, 14.5), -0.3, 0.9, (7.0, 3.0))
    p = render_pair(square_scene(own, background), ramp)
    for x, y, motion in ((30, 30, background), (0, 0, background), (12, 17, background @ own)):
        expected = (motion @ [x, y, 1])[:2] - (x, y)
        assert p.flow[y, x] == pytest.approx(expected, abs=1e-5)


def test_occluded_pixels_keep_their_true_flow():
    """The background that the square hides in image 2 still moves with the background."""
    p = render_pair(square_scene(translation(20, 0), translation(0.5, 0)), ramp)
    assert p.labels2[15, 33] == 1
    assert p.labels1[15, 33] == 0
    assert p.flow[15, 33].tolist() == [0.5, 0]


def test_edges_are_anti_aliased():
    half = similarity_about((14.5, 14.5), 0.0, 1.0, (0.5, 0.0))
    p = render_pair(square_scene(half, np.eye(3)), ramp)
    left, right = p.image2[15, 10, 0], p.image2[15, 20, 0]
    assert 40 + 0.4 * 160 < left < 40 + 0.8 * 160
    assert 40 + 0.4 * 160 < right < 40 + 0.8 * 160


def test_flow_without_pictures_is_the_same_flow():
    for index in range(3):
        scene = random_scene(np.random.default_rng((2, index)), SIZE)
        assert np.array_equal(render_flow(scene), render_pair(scene, procedural_texture).flow)


def test_rendering_twice_gives_the_same_pictures():
    scene = random_scene(np.random.default_rng(4), SIZE)
    once, twice = render_pair(scene, procedural_texture), render_pair(scene, procedural_texture)
    assert np.array_equal(once.image1, twice.image1)
    assert np.array_equal(once.image2, twice.image2)
