from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hat.data.datasets import FlyingChairs
from hat.data.packers.flyingchairs import pack_flyingchairs
from hat.data.packers.lmdb_reader import META_KEY, LmdbReader
from hat.data.records import encode_record
from hat.errors import InputError
from tests.data.raw_chairs import affine_flow, make_pair, write_raw_chairs
from tests.other_processes import WATCHDOG_SECONDS
from tests.shared_data import shared_data

LABELS = "112111211"
TRAIN = ["00001", "00002", "00004", "00005", "00006", "00008", "00009"]


@pytest.fixture(scope="module")
def chairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_raw_chairs(tmp_path_factory.mktemp("chairs"), LABELS)
    pack_flyingchairs(root, root, "train", workers=0, progress=False)
    return root


class Noise:
    """A transform whose result shows which random numbers it was given."""

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        return {**data, "noise": rng.integers(1 << 30, size=3)}


def first_of(batch: list[dict[str, Any]]) -> dict[str, Any]:
    return batch[0]


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == second[key].dtype
            assert (value == second[key]).all(), key
        else:
            assert value == second[key], key


@pytest.mark.parametrize("kind", ["raw", "lmdb"])
def test_items_follow_the_conventions(chairs: Path, kind: str) -> None:
    if kind == "raw":
        dataset = FlyingChairs(str(chairs), split_name="train")
    else:
        dataset = FlyingChairs(f"{chairs}/train_lmdb/")
    assert len(dataset) == len(TRAIN)
    assert dataset.names == TRAIN
    for index, name in enumerate(TRAIN):
        images, flow = make_pair(int(name))
        item = dataset[index]
        assert set(item) == {
            "img", "gt_flow", "img_id", "img_name", "img_shape", "layout", "color_space",
        }  # fmt: skip
        assert item["img"].dtype == np.uint8
        assert (item["img"] == images).all()
        assert item["gt_flow"].dtype == np.float32
        assert (item["gt_flow"] == flow).all()
        assert item["img_id"] == index
        assert item["img_name"] == name
        assert item["img_shape"] == (48, 64, 6)
        assert item["layout"] == "hwc"
        assert item["color_space"] == "rgb"
        assert item["img"].flags.writeable
        assert item["gt_flow"].flags.writeable
    assert dataset[-1]["img_id"] == len(TRAIN) - 1
    with pytest.raises(IndexError):
        dataset[len(TRAIN)]


def test_bgr(chairs: Path) -> None:
    item = FlyingChairs(f"{chairs}/train_lmdb", to_rgb=False)[2]
    assert item["color_space"] == "bgr"
    assert (item["img"] == make_pair(4)[0][..., [2, 1, 0, 5, 4, 3]]).all()


def test_val_split_of_the_raw_folder(chairs: Path) -> None:
    assert FlyingChairs(str(chairs), split_name="val").names == ["00003", "00007"]


def test_random_numbers_depend_on_seed_epoch_and_index_alone(chairs: Path) -> None:
    path = f"{chairs}/train_lmdb"
    dataset, again = FlyingChairs(path, [Noise()]), FlyingChairs(path, [Noise()])
    drawn = [dataset[i]["noise"].tolist() for i in range(3)]
    assert [again[i]["noise"].tolist() for i in (2, 1, 0)] == drawn[::-1]
    assert len({tuple(d) for d in drawn}) == 3
    again.set_epoch(1)
    assert again.epoch == 1
    assert again[0]["noise"].tolist() != drawn[0]
    again.set_epoch(0)
    assert again[0]["noise"].tolist() == drawn[0]
    assert FlyingChairs(path, [Noise()], seed=1)[0]["noise"].tolist() != drawn[0]
    expected = np.random.default_rng((0, 0, 1)).integers(1 << 30, size=3)
    assert drawn[1] == expected.tolist()


@pytest.mark.parametrize(("kind", "method"), [("raw", "fork"), ("lmdb", "fork"), ("lmdb", "spawn")])
def test_workers_give_the_same_items(chairs: Path, kind: str, method: str) -> None:
    options: dict[str, Any] = {"transforms": [Noise()]}
    if kind == "raw":
        dataset = FlyingChairs(str(chairs), split_name="train", **options)
    else:
        dataset = FlyingChairs(f"{chairs}/train_lmdb", **options)
    dataset[0]  # the parent has the file open when the workers start
    loader = DataLoader(
        dataset, num_workers=2, multiprocessing_context=method, persistent_workers=True,
        collate_fn=first_of,
    )  # fmt: skip
    for epoch in (0, 3):
        dataset.set_epoch(epoch)
        items = list(loader)
        assert len(items) == len(TRAIN)
        for index, item in enumerate(items):
            assert_same(item, dataset[index])


def test_pickle_keeps_no_handle(chairs: Path) -> None:
    dataset = FlyingChairs(f"{chairs}/train_lmdb", [Noise()], seed=4)
    dataset.set_epoch(2)
    item = dataset[3]
    data = pickle.dumps(dataset)
    assert len(data) < 4000
    copy = pickle.loads(data)
    assert copy.epoch == 2
    assert_same(copy[3], item)


def test_two_data_sets_of_one_file(chairs: Path) -> None:
    first, second = (FlyingChairs(f"{chairs}/train_lmdb") for _ in range(2))
    assert_same(first[1], second[1])
    del first
    assert second[0]["img_id"] == 0


@pytest.mark.parametrize("value", [1e10, np.nan, -np.inf])
def test_unknown_flow_asks_for_a_mask(tmp_path: Path, value: float) -> None:
    root = write_raw_chairs(tmp_path, "11")
    flow = affine_flow(np.random.default_rng(0), 48, 64)
    flow[5, 6, 0] = value
    path = root / "FlyingChairs_release" / "data" / "00002_flow.flo"
    path.write_bytes(path.read_bytes()[:12] + flow.tobytes())
    pack_flyingchairs(root, root, "train", workers=0, progress=False)
    raw = FlyingChairs(str(root))
    assert "gt_valid" not in raw[0]
    with pytest.raises(InputError, match=r"'00002'.*with_valid=True"):
        raw[1]
    masked = FlyingChairs(str(root), with_valid=True)
    packed = FlyingChairs(f"{root}/train_lmdb")
    for dataset in (masked, packed):
        assert dataset[0]["gt_valid"].all()
        assert dataset[0]["gt_valid"].dtype == np.uint8
        item = dataset[1]
        assert np.argwhere(item["gt_valid"] == 0).tolist() == [[5, 6]]
        assert (item["gt_flow"][5, 6] == 0).all()
        assert np.abs(item["gt_flow"]).max() < 1000


def test_wrong_paths_say_what_makes_them(chairs: Path, tmp_path: Path) -> None:
    missing = tmp_path / "FlyingChairs" / "val_lmdb"
    with pytest.raises(InputError) as error:
        FlyingChairs(str(missing))
    for part in (str(missing / "data.mdb"), "FlyingChairs_release/data", "does not exist",
                 f"--src-data-dir {missing.parent} --split-name val --pack-type lmdb"):  # fmt: skip
        assert part in str(error.value)
    missing.with_name("val_lmdb.partial").mkdir(parents=True)
    with pytest.raises(InputError, match="packing has not finished"):
        FlyingChairs(str(missing))
    shutil.copytree(chairs / "train_lmdb", tmp_path / "train_lmdb")
    with pytest.raises(InputError, match="found train_lmdb in it"):
        FlyingChairs(str(tmp_path))
    with pytest.raises(InputError, match=r"\['train', 'val'\].*split_name"):
        FlyingChairs(str(chairs))
    with pytest.raises(InputError, match="holds the split 'train'"):
        FlyingChairs(f"{chairs}/train_lmdb", split_name="val")
    with pytest.raises(ValueError, match="split_name"):
        FlyingChairs(f"{chairs}/train_lmdb", split_name="test")


def test_raw_folder_with_missing_files(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "111")
    (root / "FlyingChairs_release" / "data" / "00002_img1.ppm").unlink()
    with pytest.raises(InputError, match=r"first missing 00002_img1\.ppm, 1 pairs incomplete"):
        FlyingChairs(str(root))
    assert FlyingChairs(str(root), skip_missing=True).names == ["00001", "00003"]


def test_unfinished_foreign_and_other_versions(tmp_path: Path) -> None:
    def write(**entries: bytes) -> str:
        shutil.rmtree(tmp_path / "x_lmdb", ignore_errors=True)
        with (
            lmdb.open(str(tmp_path / "x_lmdb"), map_size=1 << 20) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key, value in entries.items():
                transaction.put(key.encode(), value)
        return str(tmp_path / "x_lmdb")

    meta = META_KEY.decode()
    with pytest.raises(InputError, match=r"description is missing.*unfinished"):
        FlyingChairs(write(**{"00001": b"x"}))
    with pytest.raises(InputError, match="not a packed record"):
        FlyingChairs(write(**{meta: b"\x80\x04 a pickle, not a record"}))
    with pytest.raises(InputError, match="version 99"):
        FlyingChairs(
            write(**{meta: encode_record({}, {"kind": "optical flow pairs", "version": 99})})
        )
    description = {"kind": "optical flow pairs", "version": 1, "split": "train"}
    with pytest.raises(InputError, match="2 names for 3 pairs"):
        FlyingChairs(
            write(**{meta: encode_record({}, {**description, "count": 3, "names": ["1", "2"]})})
        )
    path = write(**{meta: encode_record({}, {**description, "count": 1, "names": ["00001"]})})
    with pytest.raises(InputError, match="record '00001' is missing"):
        FlyingChairs(path)[0]


def test_damaged_record_is_named(chairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "train_lmdb"
    shutil.copytree(chairs / "train_lmdb", folder)
    content = (folder / "data.mdb").read_bytes()
    position = content.index(b'"name":"00005"') + 2000
    damaged = content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :]
    (folder / "data.mdb").write_bytes(damaged)
    dataset = FlyingChairs(str(folder))
    assert dataset[0]["img_name"] == "00001"
    with pytest.raises(InputError, match="record '00005': damaged"):
        dataset[3]
    (folder / "data.mdb").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="truncated"):
        LmdbReader(folder)
    (folder / "data.mdb").write_bytes(content[:100])
    with pytest.raises(InputError, match=r"data\.mdb"):
        LmdbReader(folder)


def test_no_damage_to_the_file_crashes_the_reader(chairs: Path, tmp_path: Path) -> None:
    """Random bytes of the whole file, the index included; in a process of its own."""
    program = """
import os, sys
import numpy as np
from hat.data.packers.lmdb_reader import LmdbReader
from hat.errors import InputError

source, folder = sys.argv[1:]
content = open(f"{source}/data.mdb", "rb").read()
whole = {n: LmdbReader(source).read(n).arrays["img"].tobytes() for n in LmdbReader(source).names}
rng = np.random.default_rng(0)
errors = 0
for turn in range(300):
    path = f"{folder}/{turn}"
    os.mkdir(path)
    damaged = bytearray(content)
    # every other turn within the pages that hold no record data: the first and the last ones
    pages = rng.choice([0, 1, 2, 3, len(content) // 4096 - 1]) if turn % 2 else None
    position = rng.integers(4096) + pages * 4096 if turn % 2 else rng.integers(len(content))
    damaged[position] ^= int(rng.integers(1, 256))
    open(f"{path}/data.mdb", "wb").write(damaged)
    try:
        reader = LmdbReader(path)
        names = reader.names
    except InputError:
        errors += 1
        continue
    for name in names:
        try:
            assert reader.read(name).arrays["img"].tobytes() == whole[name], (turn, name)
        except InputError:
            errors += 1
print("errors", errors)
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(chairs / "train_lmdb"), str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True,
        timeout=WATCHDOG_SECONDS,
    )  # fmt: skip
    assert result.returncode == 0, (result.returncode, result.stderr)
    assert int(result.stdout.split()[1]) > 50


def test_packed_again_in_place(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "11")
    pack_flyingchairs(root, root, "train", workers=0, progress=False)
    assert len(FlyingChairs(f"{root}/train_lmdb")) == 2
    (root / "FlyingChairs_train_val.txt").write_text("1\n2")
    pack_flyingchairs(root, root, "train", workers=0, overwrite=True, progress=False)
    dataset = FlyingChairs(f"{root}/train_lmdb")
    assert [item["img_name"] for item in (dataset[i] for i in range(len(dataset)))] == ["00001"]


def test_real_pairs_in_workers(tmp_path: Path) -> None:
    source = shared_data("FlyingChairs")
    pack_flyingchairs(source, tmp_path, "train", workers=0, skip_missing=True, progress=False)
    raw = FlyingChairs(str(source), split_name="train", skip_missing=True)
    packed = FlyingChairs(f"{tmp_path}/train_lmdb/")
    loader = DataLoader(packed, num_workers=1, collate_fn=first_of)
    for index, item in enumerate(loader):
        assert_same(item, raw[index])
        assert torch.from_numpy(item["gt_flow"]).abs().max() > 1
    assert os.path.exists(tmp_path / "train_lmdb" / "data.mdb")


def test_folders_whose_names_are_not_utf8(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path / os.fsdecode(b"chairs\xff"), "112")
    for workers in (0, 1):
        pack_flyingchairs(root, root, "train", workers=workers, overwrite=True, progress=False)
    raw = FlyingChairs(root, split_name="train")
    assert_same(FlyingChairs(root / "train_lmdb")[1], raw[1])
