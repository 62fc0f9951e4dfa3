"""Arguments that public data sets share, and what is said about files that are wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hat.data.datasets import KITTI2015, FlyingChairs2, FlyingThings3D, PairFolder, Sintel
from hat.data.transforms import RandomCrop
from hat.errors import InputError
from hat.registry import build_from_registry
from tests.data import datasets_layout as layout


def test_directions_and_cameras_are_forward_and_left_unless_asked_for(tmp_path: Path) -> None:
    layout.write_things(tmp_path / "things")
    things = FlyingThings3D(str(tmp_path / "things"), passes="final")
    assert things.names == [f"final/A/0000/left/into_future/000{i}" for i in (6, 7)]
    layout.write_chairs2(tmp_path / "chairs")
    assert FlyingChairs2(str(tmp_path / "chairs"), "val").names == ["0000000-01", "0000001-01"]


def test_passes_are_subsets_and_may_be_chosen(tmp_path: Path) -> None:
    layout.write_sintel(tmp_path)
    data = Sintel(str(tmp_path))
    assert data.subsets == ["clean", "final"]
    assert [data.subset_of(i) for i in (0, 3, 4, 7)] == ["clean", "clean", "final", "final"]
    assert Sintel(str(tmp_path), passes=["final"]).subsets == ["final"]
    shutil.rmtree(tmp_path / "training/final")
    assert Sintel(str(tmp_path)).subsets == ["clean"]
    with pytest.raises(InputError, match=r"looked for .*training/final"):
        Sintel(str(tmp_path), passes="final")


def test_pairs_are_chosen_by_their_names(tmp_path: Path) -> None:
    layout.write_sintel(tmp_path)
    data = Sintel(str(tmp_path), only="*/alley_1/*", without=["final/*", "*_0002"])
    assert data.names == ["clean/alley_1/frame_0001"]
    with pytest.raises(InputError, match=r"leave none of the 8 pairs; .*'clean/alley_1/frame_0001"):
        Sintel(str(tmp_path), only="*/ambush_1/*")


def test_masks_may_be_left_out_and_fast_pixels_be_unknown(tmp_path: Path) -> None:
    written = layout.write_kitti(tmp_path, 2015)
    data = KITTI2015(str(tmp_path), with_masks=False, max_flow=5.0)
    sample = data[0]
    assert not {"gt_noc", "gt_object"} & sample.keys()
    pair = written["000000_10"]
    slow = np.hypot(*pair.flow.transpose(2, 0, 1)) <= 5.0
    assert 0 < (sample["gt_valid"] > 0).sum() < pair.masks["gt_valid"].sum()
    np.testing.assert_array_equal(sample["gt_valid"] > 0, slow & (pair.masks["gt_valid"] > 0))


def test_bgr_and_seeds_as_for_flyingchairs(tmp_path: Path) -> None:
    layout.write_kitti(tmp_path, 2015)
    rgb, bgr = (KITTI2015(str(tmp_path), to_rgb=order)[0] for order in (True, False))
    np.testing.assert_array_equal(rgb["img"][..., :3], bgr["img"][..., 2::-1])
    assert bgr["color_space"] == "bgr"
    data = KITTI2015(str(tmp_path), seed=3, transforms=[RandomCrop((20, 20))])
    first = data[1]["img"]
    np.testing.assert_array_equal(first, data[1]["img"])
    data.set_epoch(1)
    assert not np.array_equal(first, data[1]["img"])


def test_missing_files_are_told_or_left_out(tmp_path: Path) -> None:
    layout.write_sintel(tmp_path)
    (tmp_path / "training/flow/alley_1/frame_0001.flo").unlink()
    message = (
        r"2 of 8 pairs lack a file, 1 files in all: .*alley_1/frame_0001.flo; set skip_missing"
    )
    with pytest.raises(InputError, match=message):
        Sintel(str(tmp_path))
    data = Sintel(str(tmp_path), skip_missing=True)
    assert len(data) == 6
    shutil.rmtree(tmp_path / "training/flow")
    with pytest.raises(InputError, match=r"8 of 8 pairs lack a file"):
        Sintel(str(tmp_path), skip_missing=True)


def test_damaged_files_and_wrong_sizes_are_named(tmp_path: Path) -> None:
    layout.write_kitti(tmp_path, 2015)
    flow = tmp_path / "training/flow_occ/000000_10.png"
    data = KITTI2015(str(tmp_path))
    content = flow.read_bytes()
    flow.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"flow_occ/000000_10.png: .*truncated"):
        data[0]
    shutil.copy(tmp_path / "training/flow_occ/000001_10.png", flow)
    with pytest.raises(InputError, match=r"flow_occ/000000_10.png: 123x61 pixels, but .*128x64"):
        data[0]
    layout.picture(tmp_path / "training/image_2/000000_11.png", layout.image(1, (32, 40)))
    with pytest.raises(InputError, match=r"000000_11.png: 40x32 pixels, but .*000000_10.png"):
        data[0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sintel("x", split_name="val"), "split_name is one of train, test, found 'val'"),
        (lambda: Sintel("x", passes=["raw"]), "passes is one of albedo, clean, final"),
        (lambda: Sintel("x", passes=[]), "passes is empty"),
        (lambda: FlyingThings3D("x", directions="up"), "directions is one of forward, backward"),
        (lambda: FlyingThings3D("x", cameras="top"), "cameras is one of left, right"),
        (lambda: PairFolder("x", img1="a.png"), "img1 needs one"),
        (lambda: PairFolder("x", img1="*_a.png", img2="b.png"), "has 0 .*, but img1"),
        (lambda: PairFolder("x", img1="*.png", occlusion="*.png"), "give flow, too"),
    ],
)
def test_wrong_arguments(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_max_flow_is_a_speed(tmp_path: Path) -> None:
    layout.write_chairs2(tmp_path)
    with pytest.raises(ValueError, match="max_flow"):
        FlyingChairs2(str(tmp_path), max_flow=0)


def test_configs_are_told_of_unknown_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"d.onli: Sintel has no argument 'onli'.*'only'"):
        build_from_registry({"type": "Sintel", "data_path": "x", "onli": "*"}, "d")
