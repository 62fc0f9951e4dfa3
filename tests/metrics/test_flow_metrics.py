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


def masks(seed: int, shape: tuple[int, ...] = (6, 1, 40, 50)) -> torch.Tensor:
    """Squares of 1 in 0: uint8."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for plane in mask[:, 0]:
        top, left = rng.integers(0, 30, 2)
        plane[top : top + 9, left : left + 7] = 1
    return torch.from_numpy(mask)


def test_regions_against_numpy() -> None:
    rng = np.random.default_rng(0)
    shape = (6, 2, 40, 50)
    labels = rng.normal(0, 30, shape).astype(np.float32)
    preds = labels + rng.normal(0, 3, labels.shape).astype(np.float32)
    valid = torch.from_numpy((rng.random((6, 1, 40, 50)) < 0.7).astype(np.uint8))
    occlusion, noc, objects = (masks(seed) for seed in (1, 2, 3))
    metric = FlowMetrics()
    for part in (slice(0, 4), slice(4, 6)):
        arrays = (torch.from_numpy(labels[part]), torch.from_numpy(preds[part]), valid[part])
        metric.update(*arrays, occlusion[part], noc=noc[part], objects=objects[part])
    results = metric.results()

    error = np.hypot(*(preds - labels).astype(np.float64).swapaxes(0, 1))
    speed = np.hypot(*labels.astype(np.float64).swapaxes(0, 1))
    outlier = (error > 3) & (error > 0.05 * speed)
    known = valid[:, 0].numpy() > 0
    hidden, seen, moving = (m[:, 0].numpy() > 0 for m in (occlusion, noc, objects))
    distance = np.stack([nearest_other(plane) for plane in hidden])
    near, far = distance < 10, (distance >= 10) & (distance < 60)
    expected = {
        "EPE matched": error[known & ~hidden].mean(),
        "EPE unmatched": error[known & hidden].mean(),
        "EPE d0-10": error[known & near].mean(),
        "EPE d10-60": error[known & far].mean(),
        "EPE d60-140": math.nan,
        "EPE noc": error[known & seen].mean(),
        "3px noc": 100 * (error[known & seen] > 3).mean(),
        "Fl-noc": 100 * outlier[known & seen].mean(),
        "Fl-bg": 100 * outlier[known & ~moving].mean(),
        "Fl-fg": 100 * outlier[known & moving].mean(),
        "Fl-bg noc": 100 * outlier[known & ~moving & seen].mean(),
        "Fl-fg noc": 100 * outlier[known & moving & seen].mean(),
    }
    plain = reference(labels, preds, known)
    assert results.keys() == expected.keys() | plain.keys()
    assert results.keys() <= set(metric.known_names())
    for name, value in (expected | plain).items():
        assert results[name] == pytest.approx(value, rel=1e-6, nan_ok=True), name


def nearest_other(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest of the other kind, one by one."""
    places = np.argwhere(np.ones_like(mask))
    kind = mask.ravel()
    distances = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    return np.where(kind[:, None] != kind[None], distances, np.inf).min(axis=1).reshape(mask.shape)


def test_images_without_a_mask_have_no_share_in_its_regions() -> None:
    labels, occlusion = torch.zeros(2, 2, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    preds = labels.clone()
    preds[1] = 5.0
    occlusion[1] = 255
    metric = FlowMetrics()
    metric.update(labels, preds, None, occlusion)
    results = metric.results()
    assert results["EPE matched"] == 0
    assert math.isnan(results["EPE unmatched"])
    assert math.isnan(results["EPE d0-10"])  # without an occlusion there is no boundary
    metric.reset()
    metric.update(labels[1:], preds[1:], None, occlusion[1:])
    assert "EPE matched" not in metric.results()


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
