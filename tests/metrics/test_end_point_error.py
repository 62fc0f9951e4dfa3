"""End-point error and the resizing in front of it, against slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hat.metrics import EndPointError, full_resolution


def bilinear(plane: np.ndarray, factor: int, y: int, x: int) -> float:
    """One pixel of ``plane`` enlarged by ``factor``: pixel centres at half integers."""
    height, width = plane.shape
    sy = min(max((y + 0.5) / factor - 0.5, 0.0), height - 1.0)
    sx = min(max((x + 0.5) / factor - 0.5, 0.0), width - 1.0)
    y0, x0 = int(sy), int(sx)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    fy, fx = sy - y0, sx - x0
    top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
    bottom = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
    return float(top * (1 - fy) + bottom * fy)


def random_flow(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 5, shape).astype(np.float32))


@pytest.mark.parametrize("size", [(16, 24), (13, 22), (1, 3), (9, 16)])
def test_full_resolution_equals_a_loop_and_keeps_the_values(size: tuple[int, int]) -> None:
    height, width = size
    flow = random_flow(0, 1, 2, -(-height // 4), -(-width // 4))
    large = full_resolution(flow, size)
    assert large.shape == (1, 2, height, width)
    expected = [
        [[bilinear(plane, 4, y, x) for x in range(width)] for y in range(height)]
        for plane in flow[0].numpy()
    ]
    np.testing.assert_allclose(large[0].numpy(), expected, atol=1e-5)


def test_constant_flow_stays_in_full_resolution_pixels() -> None:
    flow = torch.full((2, 2, 3, 4), 7.5)
    assert torch.equal(full_resolution(flow, (12, 16)), torch.full((2, 2, 12, 16), 7.5))


def test_flow_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"5x4 .* 12x16.*3x4"):
        full_resolution(torch.zeros(1, 2, 5, 4), (12, 16))


def test_known_error() -> None:
    metric = EndPointError()
    labels = torch.zeros(1, 2, 8, 8)
    preds = torch.stack([torch.full((2, 2), 3.0), torch.full((2, 2), -4.0)])[None]
    metric.update(labels, preds)
    assert metric.results() == {"EPE": 5.0}


def test_mean_over_images_not_over_pixels() -> None:
    labels = torch.zeros(2, 2, 8, 8)
    preds = torch.zeros(2, 2, 2, 2)
    preds[0, 0], preds[1, 0] = 2.0, 4.0
    valid = torch.ones(2, 1, 8, 8, dtype=torch.uint8)
    valid[1, :, 1:] = 0  # a row of the second image
    metric = EndPointError(name="epe")
    metric.update(labels, preds, valid)
    assert metric.results() == {"epe": 3.0}


def test_result_does_not_depend_on_the_batches() -> None:
    labels, preds = random_flow(1, 5, 2, 16, 20), random_flow(2, 5, 2, 4, 5)
    together, apart = EndPointError(), EndPointError()
    together.update(labels, preds)
    apart.update(labels[:4], preds[:4])
    apart.update(labels[4:], preds[4:])
    assert together.results()["EPE"] == pytest.approx(apart.results()["EPE"], rel=1e-14)


def test_unknown_pixels_do_not_count_whatever_they_hold() -> None:
    labels = torch.zeros(1, 2, 8, 8)
    labels[0, :, 0, 0], labels[0, 0, 0, 1], labels[0, 1, 0, 2] = math.nan, math.inf, 1e10
    labels[0, :, 0, 3] = 100.0  # known, but masked
    valid = torch.ones(1, 8, 8)
    valid[0, 0, 3] = 0
    metric = EndPointError()
    metric.update(labels, torch.ones(1, 2, 2, 2), valid)
    assert metric.results()["EPE"] == pytest.approx(math.sqrt(2), rel=1e-6)


def test_image_without_ground_truth_is_left_out() -> None:
    labels, preds = torch.zeros(2, 2, 8, 8), torch.ones(2, 2, 2, 2)
    valid = torch.ones(2, 1, 8, 8)
    valid[0] = 0
    metric = EndPointError()
    metric.update(labels[:1], preds[:1], valid[:1])
    assert math.isnan(metric.results()["EPE"])
    metric.reset()
    metric.update(labels, preds, valid)
    assert metric.results()["EPE"] == pytest.approx(math.sqrt(2), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_prediction_shows(bad: float) -> None:
    preds = torch.zeros(1, 2, 2, 2)
    preds[0, 0, 1, 1] = bad
    metric = EndPointError()
    metric.update(torch.zeros(1, 2, 8, 8), preds)
    assert not math.isfinite(metric.results()["EPE"])


def test_bfloat16_predictions_are_measured_in_float32() -> None:
    labels, preds = random_flow(3, 2, 2, 16, 16), random_flow(4, 2, 2, 4, 4).bfloat16()
    low, high = EndPointError(), EndPointError()
    low.update(labels, preds)
    high.update(labels, preds.float())
    assert low.results() == high.results()


def test_wrong_shapes_are_refused() -> None:
    metric = EndPointError()
    with pytest.raises(ValueError, match="labels: expected a flow tensor"):
        metric.update(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 2, 2))
    with pytest.raises(ValueError, match="2 labels for 1 predictions"):
        metric.update(torch.zeros(2, 2, 8, 8), torch.zeros(1, 2, 2, 2))
    with pytest.raises(ValueError, match="validity mask"):
        metric.update(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 2, 2), torch.ones(1, 1, 4, 4))
