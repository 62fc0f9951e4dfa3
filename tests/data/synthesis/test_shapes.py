from __future__ import annotations

import cv2
import numpy as np

from hat.data.synthesis.shapes import random_shape


def drawn(parts) -> np.ndarray:
    canvas = np.zeros((700, 700), np.uint8)
    for part in parts:
        outline = np.rint(part.outline + 350).astype(np.int32)
        cv2.fillPoly(canvas, [outline], 0 if part.hole else 1)
    return canvas


def test_shapes_are_of_many_kinds():
    rng = np.random.default_rng(0)
    shapes = [random_shape(rng) for _ in range(300)]
    assert {len(shape) for shape in shapes} >= {1, 2, 3, 5, 8}
    assert 0.2 < np.mean([any(part.hole for part in shape) for shape in shapes]) < 0.7
    # A ring: a hole in the picture that flood filling from outside does not reach.
    rings = 0
    for shape in shapes:
        canvas = drawn(shape)
        outside = canvas.copy()
        cv2.floodFill(outside, None, (0, 0), 1)
        rings += bool((outside == 0).any())
    assert rings > 30


def test_every_shape_has_material_of_a_sensible_size():
    rng = np.random.default_rng(1)
    for _ in range(200):
        shape = random_shape(rng)
        assert not shape[0].hole
        assert drawn(shape).sum() > 100
        assert max(np.abs(part.outline).max() for part in shape) < 250


def test_a_fifth_has_thin_parts():
    rng = np.random.default_rng(2)
    thin = 0
    for _ in range(400):
        first = random_shape(rng)[0].outline
        if len(first) == 4:  # a bar has two short sides; a polygon of four spokes seldom has
            sides = np.linalg.norm(first - np.roll(first, 1, axis=0), axis=1)
            thin += bool(np.sort(sides)[1] <= 8.001)
    assert 50 < thin < 110
