"""Sign and unit of every transform on flow, proved by warping new image 2 to new image 1."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torchvision.transforms import InterpolationMode

from hat.data.transforms import (
    CenterCrop,
    FlowRandomAffineScale,
    PhotometricJitter,
    RandomCrop,
    RandomErase,
    RandomFlip,
    RandomScaleCrop,
    Resize,
    SegRandomAffine,
)
from hat.registry import build_from_registry
from tests.conftest import ROOT
from tests.data.transforms.pairs import arrays, make_sample, warp_error

Wrong = Callable[[np.ndarray], np.ndarray]


def negated(flow: np.ndarray) -> np.ndarray:
    return -flow


def times(u: float, v: float) -> Wrong:
    return lambda flow: flow * np.array([u, v], np.float32)


def turned(degrees: float) -> Wrong:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return lambda flow: (flow @ np.array([[cos, sin], [-sin, cos]])).astype(np.float32)


ALWAYS = {"translate_p": 0.0, "scale_p": 1.0}
CASES: dict[str, tuple[Any, list[Wrong]]] = {
    "crop": (RandomCrop((64, 80)), [negated]),
    "centre crop": (CenterCrop((64, 80)), [negated]),
    "flip x": (RandomFlip(px=1.0, py=0.0), [negated, times(-1, 1)]),
    "flip y": (RandomFlip(px=0.0, py=1.0), [negated, times(1, -1)]),
    "flip both": (RandomFlip(px=1.0, py=1.0), [negated, times(-1, 1), times(1, -1)]),
    "turn": (SegRandomAffine(degrees=(40, 40), **ALWAYS), [negated, turned(-40), turned(-80)]),
    "turn back": (SegRandomAffine(degrees=(-25, -25), **ALWAYS), [negated, turned(25)]),
    "zoom in": (SegRandomAffine(scale=(1.4, 1.4), **ALWAYS), [negated, times(1 / 1.4, 1 / 1.4)]),
    "zoom out": (SegRandomAffine(scale=(0.7, 0.7), **ALWAYS), [negated, times(1 / 0.7, 1 / 0.7)]),
    "cubic": (
        SegRandomAffine(15, scale=(1.2, 1.2), interpolation=InterpolationMode.BICUBIC, **ALWAYS),
        [negated, times(1 / 1.2, 1 / 1.2)],
    ),
    "resize up": (Resize((144, 256)), [negated, times(2 / 3, 0.5), times(0.75, 4 / 3)]),
    "resize down": (Resize((72, 112)), [negated, times(4 / 3, 8 / 7)]),
    "jitter leaves the flow": (PhotometricJitter(0, 0, 0, asymmetric_p=1.0), [negated]),
}


@pytest.mark.parametrize("layout", ["hwc", "chw"])
@pytest.mark.parametrize("name", CASES)
def test_new_flow_maps_new_image_2_to_new_image_1(name: str, layout: str) -> None:
    transform, wrongs = CASES[name]
    pair, flow, known = arrays(transform(make_sample(layout), np.random.default_rng(1)))
    error = warp_error(pair, flow, known)
    assert error < 2.0
    for wrong in wrongs:
        assert warp_error(pair, wrong(flow), known) > 5 * error


@pytest.mark.parametrize("layout", ["hwc", "chw"])
@pytest.mark.parametrize("seed", range(4))
def test_translation_moves_image_2_and_adds_to_the_flow(seed: int, layout: str) -> None:
    transform = SegRandomAffine(0, (0.1, 0.15), (1.0, 1.0), translate_p=1.0, scale_p=0.0)
    before, old_flow, _ = arrays(make_sample(layout))
    pair, flow, known = arrays(transform(make_sample(layout), np.random.default_rng(seed)))
    shift = (flow - old_flow).reshape(-1, 2)
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)
    assert np.abs(shift[0]).max() >= 1
    assert abs(shift[0, 0]) <= 0.1 * 128 + 0.5
    assert abs(shift[0, 1]) <= 0.15 * 96 + 0.5
    np.testing.assert_array_equal(pair[..., :3], before[..., :3])
    assert known.all()
    error = warp_error(pair, flow, known)
    assert error < 1.5
    assert warp_error(pair, old_flow, known) > 5 * error
    assert warp_error(pair, 2 * old_flow - flow, known) > 5 * error


def test_translations_go_everywhere_up_to_the_limit() -> None:
    transform = SegRandomAffine(0, (0.1, 0.15), (1.0, 1.0), translate_p=1.0, scale_p=0.0)
    shifts = []
    for seed in range(60):
        data = {**make_sample(), "gt_flow": np.zeros((96, 128, 2), np.float32)}
        shifts.append(transform(data, np.random.default_rng(seed))["gt_flow"][0, 0])
    x, y = np.array(shifts).T
    for values, limit in ((x, 12.8), (y, 14.4)):
        assert -limit - 0.5 <= values.min() < -0.8 * limit
        assert limit + 0.5 >= values.max() > 0.8 * limit
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.4


def test_both_branches_together() -> None:
    transform = SegRandomAffine((20, 20), (0.1, 0.1), (1.2, 1.2), translate_p=1.0, scale_p=1.0)
    pair, flow, known = arrays(transform(make_sample(), np.random.default_rng(3)))
    alone = SegRandomAffine((20, 20), (0.0, 0.0), (1.2, 1.2), translate_p=1.0, scale_p=1.0)
    _, still, _ = arrays(alone(make_sample(), np.random.default_rng(3)))
    shift = (flow - still)[known].mean(axis=0)
    np.testing.assert_allclose(shift, np.rint(shift), atol=1e-4)
    error = warp_error(pair, flow, known)
    assert error < 2.0
    assert warp_error(pair, still, known) > 5 * error


@pytest.mark.parametrize("layout", ["hwc", "chw"])
def test_random_zoom(layout: str) -> None:
    transform = FlowRandomAffineScale(scale_p=1.0, scale_r=0.4)
    factors = []
    for seed in range(6):
        factor = _factor(seed, 0.4)
        pair, flow, known = arrays(transform(make_sample(layout), np.random.default_rng(seed)))
        error = warp_error(pair, flow, known)
        assert error < 2.0
        assert warp_error(pair, -flow, known) > 5 * error
        if abs(factor - 1) > 0.2:
            assert warp_error(pair, flow / np.float32(factor), known) > 5 * error
        middle = slice(47, 49), slice(63, 65)
        ratio = flow[middle].mean(axis=(0, 1)) / arrays(make_sample())[1][middle].mean(axis=(0, 1))
        np.testing.assert_allclose(ratio, factor, rtol=2e-3)
        factors.append(factor)
    assert min(factors) < 0.8, "the seeds reach both ends of the range"
    assert max(factors) > 1.2


def _factor(seed: int, spread: float) -> float:
    rng = np.random.default_rng(seed)
    rng.random()
    return float(rng.uniform(1 - spread, 1 + spread))


def test_the_tutorial_chain() -> None:
    chain = [
        RandomCrop((80, 112)),
        RandomFlip(0.5, 0.5),
        SegRandomAffine(0, (0.05, 0.05), (1.0, 1.0), translate_p=0.5, scale_p=0.0),
        FlowRandomAffineScale(0.5, 0.05),
    ]
    for seed in range(12):
        rng, data = np.random.default_rng((0, 0, seed)), make_sample()
        for transform in chain:
            data = transform(data, rng)
        pair, flow, known = arrays(data)
        error = warp_error(pair, flow, known)
        assert error < 2.0
        assert warp_error(pair, -flow, known) > 5 * error


def test_the_list_of_raft() -> None:
    """Colours, erased boxes, scale with stretch, crop and flips; boxes count as occluded."""
    colours = PhotometricJitter(0.05, 0.05, 0.05, hue=0.02, asymmetric_p=0.2)
    space = [RandomScaleCrop((80, 112)), RandomFlip(0.5, 0.1)]
    changed = 0
    for seed in range(12):
        rng, data = np.random.default_rng((0, 0, seed)), make_sample()
        for transform in (colours, *space, RandomErase(p=0.0)):
            data = transform(data, rng)
        pair, flow, known = arrays(data)
        assert pair.shape == (80, 112, 6)
        error = warp_error(pair, flow, known)
        assert error < 12.0, "images may differ in colour"
        assert warp_error(pair, -flow, known) > 2 * error
        erased = RandomErase(p=0.5, size=(20, 40))(data, rng)
        assert np.array_equal(erased["gt_flow"], flow)
        assert np.array_equal(erased["img"][..., :3], pair[..., :3])
        changed += not np.array_equal(erased["img"], pair)
    assert 1 < changed < 11


def test_the_list_in_the_documentation_runs_as_it_stands() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    found = re.search(r"## Augmentation as in RAFT.*?```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    data = make_sample(height=384, width=512)
    rng = np.random.default_rng(0)
    for transform in build_from_registry(names["transforms"]):
        data = transform(data, rng)
    assert tuple(data["img"].shape) == (6, 320, 448)
    assert tuple(data["gt_flow"].shape) == (2, 320, 448)
