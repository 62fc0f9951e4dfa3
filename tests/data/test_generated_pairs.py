"""Pairs drawn on the way: the same again for the same numbers, with exact flow."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from hat.data.datasets import GeneratedPairs
from hat.data.synthesis.spectra import spectral_texture


def texture(rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
    return spectral_texture(rng, max(side, 32), 1.2)


def pairs(**stage: Any) -> GeneratedPairs:
    given = {"motions": {"small": 1.0}, "size": (48, 64), "effects": False, **stage}
    return GeneratedPairs(texture, 6, [given])


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[key], other[key]) for key in ("img", "gt_flow"))


def test_a_sample_depends_on_epoch_and_index() -> None:
    first, again = pairs(), pairs()
    assert same(first[3], again[3])
    assert not same(first[3], first[4])
    again.set_epoch(1)
    assert not same(first[3], again[3])
    again.set_epoch(0)
    assert same(first[3], again[3])


def test_a_fixed_set_has_one_epoch() -> None:
    data = GeneratedPairs(
        texture, 2, [{"motions": {"chairs": 1.0}, "size": (48, 64)}], seed=1, fixed=True
    )
    before = data[0]
    data.set_epoch(7)
    assert same(before, data[0])


def test_all_settings_of_a_stage_draw_a_sample_again() -> None:
    stage = {
        "shapes": {"published": 1.0, "furniture": 2.0, "lattice": 1.0, "wires": 1.0},
        "plain": 0.5,
        "background_layers": [1, 4],
        "effects": "full",
        "objects": [1, 10],
    }
    first, again = pairs(**stage), pairs(**stage)
    for index in range(6):
        assert same(first[index], again[index])
        assert np.isfinite(first[index]["gt_flow"]).all()
    assert not same(first[0], pairs()[0])


def test_the_second_image_moved_by_the_flow_is_the_first() -> None:
    sample = pairs(objects=(0, 0), size=(96, 96))[0]
    grid = np.stack(np.meshgrid(np.arange(96), np.arange(96)), -1).astype(np.float32)
    moved = cv2.remap(sample["img"][..., 3:], grid + sample["gt_flow"], None, cv2.INTER_CUBIC)
    inner = slice(12, -12)
    error = cv2.absdiff(moved, np.ascontiguousarray(sample["img"][..., :3]))[inner, inner]
    assert error.mean() < 2.0


def test_occlusion_is_where_a_surface_leaves_or_is_hidden() -> None:
    data = GeneratedPairs(
        texture, 1, [{"motions": {"spread": 1.0}, "size": (96, 128)}], fixed=True, occlusion=True
    )
    sample = data[0]
    target = np.stack(np.meshgrid(np.arange(128), np.arange(96)), -1) + sample["gt_flow"]
    outside = ((target < -0.5) | (target > (127.5, 95.5))).any(axis=2)
    assert sample["gt_occlusion"].dtype == np.uint8
    assert sample["gt_occlusion"][outside].all()
    assert outside.mean() < sample["gt_occlusion"].mean() < 0.6
    assert "gt_occlusion" not in pairs()[0]


def test_stages_follow_each_other() -> None:
    data = GeneratedPairs(
        texture,
        4,
        [
            {"motions": {"small": 1.0}, "size": (32, 32), "epochs": 2},
            {"motions": {"spread": 1.0}, "size": (32, 48)},
        ],
    )
    sizes = []
    for epoch in range(4):
        data.set_epoch(epoch)
        sizes.append(data[0]["img"].shape)
    assert sizes == [(32, 32, 6)] * 2 + [(32, 48, 6)] * 2


def test_stages_follow_the_progress_of_a_run() -> None:
    data = GeneratedPairs(
        texture,
        4,
        [
            {"motions": {"small": 1.0}, "size": (32, 32), "until": 0.1},
            {"motions": {"small": 1.0}, "size": (32, 40), "until": 0.5},
            {"motions": {"spread": 1.0}, "size": (32, 48)},
        ],
    )
    widths = []
    for progress in (0.0, 0.09, 0.1, 0.49, 0.5, 1.0):
        data.set_progress(progress)
        widths.append(data[0]["img"].shape[1])
    assert widths == [32, 32, 40, 40, 48, 48]


SMALL = {"motions": {"small": 1.0}, "size": (32, 32)}


def test_textures_are_needed() -> None:
    with pytest.raises(ValueError, match=r"textures is a texture source.* found None"):
        GeneratedPairs(None, 4, [{"motions": {"small": 1.0}, "size": (32, 32)}])  # type: ignore


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{**SMALL, "until": 1.5}, SMALL], "until is a fraction of the run"),
        ([{**SMALL, "until": 0.5}, {**SMALL, "epochs": 1}, SMALL], "or every one a fraction"),
        ([{**SMALL, "until": 0.5}, {**SMALL, "until": 0.5}, SMALL], "rises from stage to stage"),
        ([], "needs its number of epochs"),
        ([{"motions": {"fast": 1.0}, "size": (32, 32)}], "motions must give weights"),
        ([{"motions": {"small": 1.0}, "size": (32, 32), "epochs": 0}], "must be positive"),
        ([{"motions": {"small": 1.0}, "size": (32, 32)}] * 2, "needs its number of epochs"),
        (
            [{"motions": {"small": 1.0}, "size": (32, 32), "shapes": {"cats": 1}}],
            "shapes must give",
        ),
        ([{"motions": {"small": 1.0}, "size": (32, 32), "plain": 2}], "plain is a share"),
        ([{"motions": {"small": 1.0}, "size": (32, 32), "objects": (3, 1)}], "fewest, most"),
        ([{"motions": {"small": 1.0}, "size": (32, 32), "objects": (1, 300)}], "255 layers"),
        ([{"motions": {"small": 1.0}, "size": 32}], "size is two whole numbers"),
        ([{"motions": {"small": 1.0}, "size": (32, 32), "effects": "rain"}], "one of basic, full"),
    ],
)
def test_what_is_refused(stages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneratedPairs(texture, 4, stages)
