"""Colours of flow and error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.utils import flow_to_image

from hat.visualize.colours import (
    ERROR_COLOURS,
    error_colours,
    flow_colours,
    wheel,
)


def one(u: float, v: float, **options: float) -> tuple[int, ...]:
    return tuple(flow_colours(np.array([[[u, v]]], np.float32), **options)[0, 0].tolist())


def test_same_picture_as_torchvision() -> None:
    flow = np.random.default_rng(0).normal(0, 5, (200, 300, 2)).astype(np.float32)
    largest = float(np.hypot(flow[..., 0], flow[..., 1]).max())
    expected = flow_to_image(torch.from_numpy(flow).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    difference = np.abs(flow_colours(flow, largest).astype(int) - expected).max(axis=2)
    # The wheel jumps from its last hue, (255, 0, 43), to its first, red, where v is zero and u is
    # positive; the table rounds to its nearest place.
    assert (difference <= 2).mean() > 0.997
    assert difference.max() <= 43
    assert (difference[np.abs(flow[..., 1]) > 0.1] <= 3).all()


def test_directions_differ_and_are_those_of_the_wheel() -> None:
    assert one(10, 0) == (255, 0, 0)  # to the right: red
    red, green, blue = one(-10, 0)
    assert red < 50 < green  # to the left: cyan to blue
    assert blue > 200
    assert one(0, 10)[2] == 0  # down: yellow
    assert one(0, -10)[1] < 50  # up: purple
    disc = wheel(101)
    for (row, column), (u, v) in {
        (50, 99): (1, 0),
        (50, 1): (-1, 0),
        (99, 50): (0, 1),
        (1, 50): (0, -1),
    }.items():
        np.testing.assert_allclose(disc[row, column, :3], one(u, v), atol=10)
    assert disc[0, 0, 3] == 0
    assert disc[50, 50, 3] == 255


def test_fixed_scale() -> None:
    assert one(0, 0, max_flow=5.0) == (255, 255, 255)
    assert one(5, 0, max_flow=5.0) == one(500, 0, max_flow=5.0) == (255, 0, 0)
    half = one(5, 0, max_flow=10.0)
    assert half[0] == 255
    assert abs(half[1] - 127) <= 1
    with pytest.raises(ValueError, match="max_flow"):
        one(1, 1, max_flow=0.0)


def test_unknown_pixels_are_black_and_do_not_set_the_scale() -> None:
    flow = np.zeros((1, 4, 2), np.float32)
    flow[0, 0] = np.nan
    flow[0, 1, 0] = 1000.0
    flow[0, 2, 0] = 2.0
    valid = np.array([[1, 0, 1, 1]], np.uint8)
    image = flow_colours(flow, valid=valid)
    assert image[0].tolist() == [[0, 0, 0], [0, 0, 0], [255, 0, 0], [255, 255, 255]]


def test_zero_flow_is_white() -> None:
    assert (flow_colours(np.zeros((2, 3, 2), np.float32)) == 255).all()


@pytest.mark.parametrize(
    ("error", "step"), [(0.0, 0), (0.2, 1), (2.9, 4), (3.1, 5), (47.0, 8), (1e9, 9), (np.nan, 9)]
)
def test_error_steps(error: float, step: int) -> None:
    np.testing.assert_array_equal(error_colours(np.array([[error]]))[0, 0], ERROR_COLOURS[step])


def test_error_without_ground_truth_is_black() -> None:
    image = error_colours(np.array([[1.0, 1.0]]), np.array([[0, 1]]))
    assert image[0, 0].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(image[0, 1], ERROR_COLOURS[3])
