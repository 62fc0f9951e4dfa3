"""Random scale, stretch and crop: the flow stays exact, the factors are those asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hat.data.transforms import RandomScaleCrop
from tests.data.transforms.pairs import arrays, flow_field, make_sample, warp_error

SIZE = (64, 80)


def linear_sample(height: int = 192, width: int = 256) -> dict[str, Any]:
    """A pair whose flow is (x, y), so that a vector tells where it comes from."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    img = np.random.default_rng(0).integers(0, 255, (height, width, 6), dtype=np.uint8)
    return {"img": img, "gt_flow": np.stack([x, y], axis=-1), "layout": "hwc"}


@pytest.mark.parametrize("layout", ["hwc", "chw"])
@pytest.mark.parametrize("seed", range(8))
def test_new_flow_maps_new_image_2_to_new_image_1(seed: int, layout: str) -> None:
    transform = RandomScaleCrop(SIZE, stretch=0.4, p=1.0, stretch_p=1.0)
    data = transform(make_sample(layout), np.random.default_rng(seed))
    pair, flow, known = arrays(data)
    assert pair.shape == (*SIZE, 6)
    assert data["img_shape"] == (*SIZE, 6)
    error = warp_error(pair, flow, known)
    assert error < 2.0
    assert warp_error(pair, -flow, known) > 5 * error
    assert warp_error(pair, flow[..., ::-1].copy(), known) > 5 * error


@pytest.mark.parametrize("seed", range(6))
def test_every_vector_is_that_of_its_place_times_the_factors(seed: int) -> None:
    """The flow is its own place, so the result tells by itself where it was taken from."""
    transform = RandomScaleCrop(SIZE, scale=(1.0, 2.0), p=1.0, stretch_p=1.0)
    flow = transform(linear_sample(), np.random.default_rng(seed))["gt_flow"].astype(np.float64)
    for axis in (0, 1):
        line = flow[SIZE[0] // 2, :, 0] if axis == 0 else flow[:, SIZE[1] // 2, 1]
        inner = line[2:-2]
        # x s, taken every 1 / s px, rises by 1 px a pixel, whatever s is
        np.testing.assert_allclose(np.diff(inner), 1.0, atol=1e-3)
        # the first pixel's centre lies at (start + 0.5 / s - 0.5) s = start s + 0.5 - s / 2
        factor = _factor(transform, seed)[axis]
        start = (inner[0] - 2 - 0.5 + factor / 2) / factor
        assert start == pytest.approx(round(start), abs=1e-3), "whole pixels of the source"


def _factor(transform: RandomScaleCrop, seed: int) -> tuple[float, float]:
    """(x, y) factors of a seed: the ratio of constant flows."""
    data = linear_sample()
    data["gt_flow"] = np.ones_like(data["gt_flow"])
    flow = transform(data, np.random.default_rng(seed))["gt_flow"]
    assert np.ptp(flow.reshape(-1, 2), axis=0).max() < 1e-6
    return float(flow[0, 0, 0]), float(flow[0, 0, 1])


def test_factors_are_even_in_their_logarithm_and_seldom_one() -> None:
    transform = RandomScaleCrop(SIZE)
    factors = np.array([_factor(transform, seed) for seed in range(300)])
    logs = np.log2(factors)
    assert logs.min() >= -0.4 - 0.02
    assert logs.max() <= 1.2 + 0.02
    assert 0.15 < (np.abs(logs).max(axis=1) < 1e-6).mean() < 0.26  # 1 - p
    middle = logs[np.abs(logs).max(axis=1) > 1e-6].mean(axis=1)
    assert middle.mean() == pytest.approx(0.4, abs=0.08)
    assert np.std(logs[:, 0] - logs[:, 1]) == pytest.approx(0.8 * 0.2 * np.sqrt(2 / 3), abs=0.05)


def test_no_scale_is_a_crop() -> None:
    transform = RandomScaleCrop(SIZE, p=0.0)
    pair, flow, _ = arrays(make_sample())
    seen = set()
    for seed in range(30):
        data = transform(make_sample(), np.random.default_rng(seed))
        corner = data["img"][0, 0]
        y, x = np.argwhere((pair == corner).all(axis=2))[0].tolist()
        window = slice(y, y + SIZE[0]), slice(x, x + SIZE[1])
        assert np.array_equal(data["img"], pair[window])
        assert np.array_equal(data["gt_flow"], flow[window])
        seen.add((y, x))
    assert len(seen) > 20


def test_a_small_image_is_enlarged() -> None:
    sample = make_sample(height=40, width=200)
    flow = RandomScaleCrop((80, 100), p=0.0)(sample, np.random.default_rng(0))["gt_flow"]
    assert flow.shape == (80, 100, 2)
    x, y = np.mgrid[:200, :40].transpose(0, 2, 1).astype(np.float64)
    source = flow_field(x, y)
    assert flow[..., 1].mean() == pytest.approx(2 * source[..., 1].mean(), rel=0.2)
    assert source[..., 0].min() - 1e-3 <= flow[..., 0].min()
    assert flow[..., 0].max() <= source[..., 0].max() + 1e-3


def test_unknown_flow_stays_unknown() -> None:
    sample = make_sample()
    sample["gt_valid"] = np.ones((96, 128), np.uint8)
    sample["gt_valid"][:, ::2] = 0
    sample["gt_flow"][:, ::2] = np.nan
    transform = RandomScaleCrop(SIZE, scale=(2, 2), stretch=0, p=1.0)
    data = transform(sample, np.random.default_rng(0))
    assert np.isfinite(data["gt_flow"]).all()
    assert 0.3 < data["gt_valid"].mean() < 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": (2.0, 1.0)}, "scale is"),
        ({"scale": (0.0, 1.0)}, "scale is"),
        ({"stretch": -0.1}, "stretch is"),
        ({"p": 2.0}, "p is a probability"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomScaleCrop(SIZE, **arguments)
