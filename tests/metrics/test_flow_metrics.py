"""All reported numbers against a plain computation in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hat.metrics import FlowMetrics


def reference(labels: np.ndarray, preds: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """labels, preds (N, 2, H, W); valid (N, H, W) bool; preds at the labels' size."""
    per_image, zero, errors, speeds = [], [], [], []
    for label, pred, mask in zip(labels, preds, valid, strict=True):
        error = np.hypot(*(pred - label).astype(np.float64))[mask]
        speed = np.hypot(*label.astype(np.float64))[mask]
        if error.size:
            per_image.append(error.mean())
            zero.append(speed.mean())
        errors.append(error)
        speeds.append(speed)
    error, speed = np.concatenate(errors), np.concatenate(speeds)
    return {
        "EPE": np.mean(per_image),
        "1px": 100 * np.mean(error > 1),
        "3px": 100 * np.mean(error > 3),
        "5px": 100 * np.mean(error > 5),
        "Fl-all": 100 * np.mean((error > 3) & (error > 0.05 * speed)),
        "EPE s0-10": error[speed < 10].mean(),
        "EPE s10-40": error[(speed >= 10) & (speed < 40)].mean(),
        "EPE s40+": error[speed >= 40].mean(),
        "zero-flow EPE": np.mean(zero),
        "images": len(per_image),
        "non-finite images": 0,
    }


def test_all_numbers_against_numpy() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(0, 30, (6, 2, 12, 10)).astype(np.float32)
    preds = labels + rng.normal(0, 3, labels.shape).astype(np.float32)
    valid = rng.random((6, 12, 10)) < 0.7
    valid[2] = False
    metric = FlowMetrics()
    for part in (slice(0, 4), slice(4, 6)):
        metric.update(
            torch.from_numpy(labels[part]),
            torch.from_numpy(preds[part]),
            torch.from_numpy(valid[part, None].astype(np.uint8)),
        )
    results = metric.results()
    expected = reference(labels, preds, valid)
    assert list(results) == list(expected)
    for name, value in expected.items():
        assert results[name] == pytest.approx(value, rel=1e-6), name


def test_thresholds_are_exclusive_and_speeds_half_open() -> None:
    labels = torch.zeros(1, 2, 1, 4)
    labels[0, 0, 0] = torch.tensor([0.0, 10.0, 40.0, 100.0])
    preds = labels.clone()
    preds[0, 0, 0] += torch.tensor([3.0, 4.0, 1.0, 5.0])
    metric = FlowMetrics()
    metric.update(labels, preds)
    results = metric.results()
    assert results["1px"] == 75.0  # an error of exactly 1 px is none
    assert results["3px"] == 50.0
    assert results["5px"] == 0.0
    assert results["Fl-all"] == 25.0  # 5 px at a speed of 100 px is 5 %, not more
    assert results["EPE s0-10"] == 3.0
    assert results["EPE s10-40"] == 4.0
    assert results["EPE s40+"] == 3.0


def test_zero_flow_network_has_the_zero_flow_error() -> None:
    labels = torch.from_numpy(np.random.default_rng(1).normal(0, 8, (2, 2, 8, 8))).float()
    metric = FlowMetrics()
    metric.update(labels, torch.zeros(2, 2, 2, 2))
    assert metric.results()["EPE"] == metric.results()["zero-flow EPE"] > 5


def test_empty_speed_group_is_nan_and_nothing_else() -> None:
    metric = FlowMetrics()
    metric.update(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 2, 2))
    nan = [name for name, value in metric.results().items() if math.isnan(value)]
    assert nan == ["EPE s10-40", "EPE s40+"]


def test_non_finite_pixel_is_an_outlier_and_counted() -> None:
    preds = torch.zeros(2, 2, 8, 8)
    preds[1, 0, 3, 3] = math.nan
    metric = FlowMetrics()
    metric.update(torch.zeros(2, 2, 8, 8), preds)
    results = metric.results()
    assert results["non-finite images"] == 1
    assert math.isnan(results["EPE"])
    share = 100.0 / 128
    assert [results[k] for k in ("1px", "3px", "5px", "Fl-all")] == [share] * 4


def test_non_finite_pixel_outside_the_mask_is_none() -> None:
    preds, valid = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    preds[0, 0, 3, 3], valid[0, 0, 3, 3] = math.inf, 0
    metric = FlowMetrics()
    metric.update(torch.zeros(1, 2, 8, 8), preds, valid)
    assert metric.results()["non-finite images"] == 0
    assert metric.results()["EPE"] == 0
