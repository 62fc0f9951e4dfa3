"""Readers of public data sets, on tiny copies in their real layout and on real samples."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hat.data.collates import collate_2d
from hat.data.datasets import (
    HD1K,
    KITTI2012,
    KITTI2015,
    FlyingChairs2,
    FlyingThings3D,
    Middlebury,
    Mixture,
    PairFolder,
    Sintel,
    Spring,
)
from hat.data.flow_io import read_flo
from hat.data.transforms import RandomCrop, ToTensor
from hat.errors import InputError
from tests.data import datasets_layout as layout
from tests.data.datasets_layout import Written
from tests.missing import skip_without
from tests.shared_data import shared_data

BOTH = ("forward", "backward")
READERS: dict[str, tuple[Callable[[Path], dict[str, Written]], Callable[[str], Any]]] = {
    "Sintel": (layout.write_sintel, Sintel),
    "KITTI2012": (lambda root: layout.write_kitti(root, 2012), KITTI2012),
    "KITTI2015": (lambda root: layout.write_kitti(root, 2015), KITTI2015),
    "HD1K": (layout.write_hd1k, HD1K),
    "FlyingThings3D": (
        layout.write_things,
        lambda root: FlyingThings3D(root, directions=BOTH, cameras=("left", "right")),
    ),
    "subset of FlyingThings3D": (layout.write_things_subset, FlyingThings3D),
    "Middlebury": (layout.write_middlebury, Middlebury),
    "FlyingChairs2": (layout.write_chairs2, lambda root: FlyingChairs2(root, directions=BOTH)),
    "Spring": (layout.write_spring, lambda root: Spring(root, directions=BOTH)),
    "PairFolder": (
        layout.write_folder,
        lambda root: PairFolder(root, img1="*/*_a.png", img2="*/*_b.png", flow="*/*_flow.flo"),
    ),
}


def written_to(root: Path, name: str) -> dict[str, Written]:
    if name == "Spring":
        try:
            import h5py  # noqa: F401
        except ImportError:
            skip_without("h5py")
    return READERS[name][0](root)


@pytest.mark.parametrize("name", READERS)
def test_every_pair_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    expected = written_to(tmp_path, name)
    data = READERS[name][1](str(tmp_path))
    assert sorted(data.names) == sorted(expected)
    for sample in (data[i] for i in range(len(data))):
        pair = expected[sample["img_name"]]
        np.testing.assert_array_equal(sample["img"][..., :3], pair.image1)
        np.testing.assert_array_equal(sample["img"][..., 3:], pair.image2)
        valid = pair.masks.get("gt_valid", np.ones(pair.flow.shape[:2], np.uint8))
        np.testing.assert_array_equal(sample["gt_valid"], valid)
        np.testing.assert_array_equal(sample["gt_flow"], pair.flow * valid[..., None])
        assert sample["gt_flow"].dtype == np.float32
        masks = {key for key in sample if key.startswith("gt_")} - {"gt_flow", "gt_valid"}
        assert masks == pair.masks.keys() - {"gt_valid"}
        for key in masks:
            assert sample[key].dtype == np.uint8
            np.testing.assert_array_equal(sample[key], pair.masks[key], err_msg=key)
        assert sample["color_space"] == "rgb"
        assert sample["img_shape"] == sample["img"].shape


@pytest.mark.parametrize("name", READERS)
def test_batches_for_training(tmp_path: Path, name: str) -> None:
    written_to(tmp_path, name)
    data = READERS[name][1](str(tmp_path))
    data.transforms = [RandomCrop((48, 64)), ToTensor()]
    data = pickle.loads(pickle.dumps(data))  # as a worker process gets it
    batch = next(iter(DataLoader(data, batch_size=2, collate_fn=collate_2d)))
    assert batch["img"].shape == (2, 6, 48, 64)
    assert batch["gt_flow"].shape == (2, 2, 48, 64)
    for key in (key for key in batch if key in ("gt_valid", "gt_occlusion", "gt_noc", "gt_object")):
        assert batch[key].shape == (2, 1, 48, 64), key


@pytest.mark.parametrize(
    ("write", "build", "names"),
    [
        (
            layout.write_sintel,
            Sintel,
            [f"{name}/ambush_1/frame_000{i}" for name in ("clean", "final") for i in (1, 2)],
        ),
        (lambda root: layout.write_kitti(root, 2012), KITTI2012, ["000000_10", "000001_10"]),
        (lambda root: layout.write_kitti(root, 2015), KITTI2015, ["000000_10", "000001_10"]),
        (layout.write_hd1k, HD1K, ["000100_0000"]),
        (layout.write_middlebury, Middlebury, ["Army"]),
    ],
    ids=["Sintel", "KITTI2012", "KITTI2015", "HD1K", "Middlebury"],
)
def test_test_splits_have_images_only(
    tmp_path: Path, write: Callable[[Path], Any], build: Any, names: list[str]
) -> None:
    write(tmp_path)
    data = build(str(tmp_path), split_name="test")
    assert list(data.names) == names
    assert not data.has_truth
    assert {key for key in data[0] if key.startswith("gt_")} == set()


def test_grey_kitti_2012_is_taken_where_there_is_no_colour(tmp_path: Path) -> None:
    layout.write_kitti(tmp_path, 2012)
    (tmp_path / "training/colored_0").rename(tmp_path / "training/image_0")
    for path in (tmp_path / "training/image_0").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    image = KITTI2012(str(tmp_path))[0]["img"]
    assert image.shape == (*layout.SIZE, 6)
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_consecutive_frames_of_a_folder(tmp_path: Path) -> None:
    for name in ("a/frame9.png", "a/frame10.png", "a/frame11.png", "b/frame1.png", "b/frame2.png"):
        layout.picture(tmp_path / name, layout.image(len(name)))
    data = PairFolder(str(tmp_path), img1="*/frame*.png")
    assert data.names == ["a/9", "a/10", "b/1"]
    assert Path(data.pairs[1].image2).name == "frame11.png"
    assert "gt_flow" not in data[0]


def test_masks_of_a_folder(tmp_path: Path) -> None:
    layout.write_folder(tmp_path)
    hidden, unknown = layout.blob(1), layout.blob(2)
    for stem in ("city/9", "city/10", "park/1"):
        layout.mask_file(tmp_path / f"{stem}_occ.png", hidden)
        layout.mask_file(tmp_path / f"{stem}_bad.png", unknown)
    data = PairFolder(
        str(tmp_path),
        img1="*/*_a.png",
        img2="*/*_b.png",
        flow="*/*_flow.flo",
        occlusion="*/*_occ.png",
        invalid="*/*_bad.png",
    )
    sample = data[0]
    np.testing.assert_array_equal(sample["gt_occlusion"], hidden)
    np.testing.assert_array_equal(sample["gt_valid"], 1 - unknown)


@pytest.mark.parametrize("name", [name for name in READERS if name != "PairFolder"])
def test_another_folder_is_told_what_is_looked_for(tmp_path: Path, name: str) -> None:
    build = READERS[name][1]
    (tmp_path / "Downloads").mkdir()
    with pytest.raises(InputError, match=r"looked for .*: found Downloads"):
        build(str(tmp_path))
    with pytest.raises(InputError, match="no such folder"):
        build(str(tmp_path / "nowhere"))


def test_spring_without_h5py_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in (1, 2):
        layout.picture(tmp_path / f"train/0001/frame_left/frame_left_{i:04d}.png", layout.image(i))
    path = tmp_path / "train/0001/flow_FW_left/flow_FW_left_0001.flo5"
    path.parent.mkdir()
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    data = Spring(str(tmp_path))
    assert data.names == ["0001/left/FW/0001"]
    with pytest.raises(InputError, match=r"flo5: .*needs h5py.*pip install h5py"):
        data[0]


def test_damaged_flo5_is_named(tmp_path: Path) -> None:
    written_to(tmp_path, "Spring")
    import h5py

    path = tmp_path / "train/0001/flow_FW_left/flow_FW_left_0001.flo5"
    data = Spring(str(tmp_path))
    with h5py.File(path, "w") as file:
        file.create_dataset("disparity", data=np.zeros((4, 4), np.float32))
    with pytest.raises(InputError, match=r"0001.flo5: no data set 'flow' .* found disparity"):
        data[0]
    path.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"0001.flo5: cannot read"):
        data[0]


def test_training_on_several_at_once(tmp_path: Path) -> None:
    """Dense and sparse, with masks and without, sizes of all kinds: one batch."""
    layout.write_sintel(tmp_path / "sintel")
    layout.write_kitti(tmp_path / "kitti", 2015)
    layout.write_folder(tmp_path / "own")
    crop = [RandomCrop((48, 64)), ToTensor()]
    own = {"img1": "*/*_a.png", "img2": "*/*_b.png", "flow": "*/*_flow.flo"}
    parts = [
        {"dataset": Sintel(str(tmp_path / "sintel"), transforms=crop), "weight": 2.0},
        {"dataset": KITTI2015(str(tmp_path / "kitti"), transforms=crop)},
        {"dataset": PairFolder(str(tmp_path / "own"), **own, transforms=crop)},
    ]
    data = Mixture(parts, length=64)
    loader = DataLoader(data, batch_size=16, collate_fn=collate_2d)
    names = []
    for batch in loader:
        assert batch["img"].shape == (16, 6, 48, 64)
        for row, name in enumerate(batch["img_name"]):
            names.append(name)
            if name.endswith("_10"):
                assert batch["gt_valid"][row].float().mean() < 0.6
                assert batch["gt_object"][row].max() <= 1
                assert (batch["gt_occlusion"][row] == 255).all()
            elif "/frame_" in name:
                assert batch["gt_occlusion"][row].max() <= 1
                assert (batch["gt_noc"][row] == 255).all()
            else:
                assert (batch["gt_valid"][row] == 1).all()
    assert 20 < sum("/frame_" in name for name in names) < 44


def test_real_sintel_frames(tmp_path: Path) -> None:
    """The samples lie in one folder; here they get their places in the data set's."""
    source = shared_data("sintel", "alley_1_clean")
    places = {
        "frame_0002.png": "clean",
        "frame_0003.png": "clean",
        "frame_0002.flo": "flow",
        "invalid_0002.png": "invalid",
        "occlusions_0002.png": "occlusions",
    }
    for name, folder in places.items():
        target = tmp_path / "training" / folder / "alley_1" / f"frame_{name.split('_')[1]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source / name)
    [sample] = list(iter_samples(Sintel(str(tmp_path))))
    assert sample["img_name"] == "clean/alley_1/frame_0002"
    assert sample["img"].shape == (436, 1024, 6)
    assert (sample["gt_valid"] == 0).sum() == 80
    assert 0.02 < sample["gt_occlusion"].mean() < 0.03
    known = sample["gt_valid"] > 0
    truth = read_flo(source / "frame_0002.flo")
    np.testing.assert_array_equal(sample["gt_flow"][known], truth[known])
    # image 1 is image 2 seen through the flow, most of all where pixels are not occluded
    y, x = np.mgrid[:436, :1024].astype(np.float32)
    place = np.stack([x, y], axis=-1) + sample["gt_flow"]
    second = np.ascontiguousarray(sample["img"][..., 3:])
    seen = cv2.remap(second, place, None, cv2.INTER_LINEAR)
    error = np.abs(seen.astype(float) - sample["img"][..., :3]).mean(axis=2)
    hidden = sample["gt_occlusion"] > 0
    assert error[known & ~hidden].mean() < 3
    assert error[hidden].mean() > 4 * error[known & ~hidden].mean()


def iter_samples(data: Any) -> Any:
    return (data[i] for i in range(len(data)))


def test_a_real_pair_by_patterns() -> None:
    source = shared_data("sintel")
    data = PairFolder(
        str(source), img1="*/frame_*2.png", img2="*/frame_*3.png", flow="*/frame_*2.flo"
    )
    assert data.names == ["alley_1_clean/000", "medium_clean/000"]
    speed = np.hypot(*data[1]["gt_flow"].transpose(2, 0, 1)).mean()
    assert 14.5 < speed < 15.7
    assert torch.is_tensor(ToTensor()(data[0], np.random.default_rng(0))["gt_flow"])
