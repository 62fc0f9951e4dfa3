from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from hat.metrics import full_resolution
from horizon_flow.resize import enlarged, fitting_size, scaled_down, scaled_flow


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (64, 96), (61, 90)])
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_flow_is_enlarged_as_in_hat_s_metrics(size, factor):
    rows, columns = (-(-side // factor) for side in size)
    flow = np.random.default_rng(0).normal(0, 30, (2, rows, columns)).astype(np.float32)
    large = enlarged(flow, factor, size)
    expected = full_resolution(torch.from_numpy(flow)[None], size)[0].permute(1, 2, 0).numpy()
    assert large.shape == (*size, 2)
    assert large.dtype == np.float32
    assert large.flags.c_contiguous
    np.testing.assert_allclose(large, expected, rtol=0, atol=1e-5 * np.abs(flow).max())


@pytest.mark.parametrize(
    ("size", "largest", "fitting"),
    [
        ((40, 60), (64, 64), (40, 60)),
        ((100, 50), (50, 50), (50, 25)),
        ((10, 1000), (64, 100), (1, 100)),
        ((1, 1000), (64, 100), (1, 100)),
    ],
)
def test_a_size_that_fits_keeps_its_proportions(size, largest, fitting):
    assert fitting_size(size, largest) == fitting


def test_flow_of_scaled_images_is_in_pixels_of_the_large_ones():
    flow = np.full((5, 4, 2), (3.0, 7.0), np.float32)
    np.testing.assert_allclose(scaled_flow(flow, (15, 8)), np.full((15, 8, 2), (6.0, 21.0)))
    assert scaled_flow(flow, (5, 4)) is flow


@pytest.mark.parametrize("size", [(15, 8), (31, 90), (5, 40), (11, 7)])
def test_scaled_flow_is_bilinear_as_in_opencv(size):
    flow = np.random.default_rng(0).normal(0, 30, (11, 40, 2)).astype(np.float32)
    expected = cv2.resize(flow, size[::-1], interpolation=cv2.INTER_LINEAR)
    expected *= np.array([size[1] / 40, size[0] / 11], np.float32)
    found = scaled_flow(flow, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(30, 22), (30, 20), (17, 41), (59, 43), (60, 7), (1, 1)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_images_are_averaged_as_in_opencv(size, channels):
    image = np.random.default_rng(0).integers(0, 256, (60, 44, *channels), dtype=np.uint8)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    found = scaled_down(image, size)
    assert found.dtype == np.uint8
    halves = size == (30, 22)  # OpenCV rounds halves up here, and to the even one elsewhere
    np.testing.assert_allclose(found.astype(int), expected, rtol=0, atol=0 if halves else 1)


def test_images_are_averaged_when_they_are_scaled_down():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    small = scaled_down(image, (2, 2))
    np.testing.assert_allclose(small, image.reshape(2, 2, 2, 2, 3).mean((1, 3)), atol=0.5)
    assert scaled_down(image, (4, 4)) is image
