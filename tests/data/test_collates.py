"""Batches: stacking, lists, and what is said about samples that do not fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hat
from hat.data.collates import CollateBySize, NamedCollate, collate_2d
from hat.data.transforms import ToTensor
from hat.errors import InputError


def sample(index: int, height: int = 8, width: int = 12, layout: str = "chw") -> dict[str, Any]:
    rng = np.random.default_rng(index)
    data = {
        "img": rng.integers(0, 256, (height, width, 6), dtype=np.uint8),
        "gt_flow": rng.normal(size=(height, width, 2)).astype(np.float32),
        "gt_valid": rng.integers(0, 2, (height, width), dtype=np.uint8),
        "img_id": index,
        "img_name": f"{index + 1:05d}",
        "img_shape": (height, width, 6),
        "layout": "hwc",
        "color_space": "rgb",
    }
    return ToTensor()(data, rng) if layout == "chw" else data


def test_tensors_are_stacked_and_the_rest_listed() -> None:
    samples = [sample(index) for index in range(3)]
    batch = collate_2d(samples)
    assert batch["img"].shape == (3, 6, 8, 12)
    assert batch["gt_flow"].shape == (3, 2, 8, 12)
    assert batch["gt_valid"].shape == (3, 1, 8, 12)
    for key in ("img", "gt_flow", "gt_valid"):
        assert batch[key].dtype == samples[0][key].dtype
        for index in range(3):
            assert torch.equal(batch[key][index], samples[index][key])
    assert batch["img_id"] == [0, 1, 2]
    assert batch["img_name"] == ["00001", "00002", "00003"]
    assert batch["img_shape"] == [(8, 12, 6)] * 3


def test_memory_order_of_the_samples_does_not_matter() -> None:
    samples = [sample(0), sample(1)]
    planar = [{**one, "img": one["img"].contiguous()} for one in samples]
    mixed = [planar[0], samples[1]]
    for batch in (collate_2d(planar), collate_2d(mixed)):
        assert torch.equal(batch["img"], collate_2d(samples)["img"])


def test_batches_own_their_memory() -> None:
    one = sample(0)
    batch = collate_2d([one])
    batch["img"].zero_()
    assert one["img"].any()


def test_sizes_that_differ_are_named() -> None:
    with pytest.raises(InputError, match=r"00001.*8, 12.*00002.*8, 16.*batch_size=1"):
        collate_2d([sample(0), sample(1, width=16)])


def test_keys_that_differ_are_named() -> None:
    other = sample(1)
    del other["gt_flow"]
    with pytest.raises(InputError, match=r"00001.*00002.*gt_flow"):
        collate_2d([sample(0), other])


def test_masks_of_some_samples_are_completed() -> None:
    first, second = sample(0), sample(1)
    del second["gt_valid"]
    second["gt_occlusion"] = torch.zeros_like(first["gt_valid"])
    batch = collate_2d([first, second])
    assert torch.equal(batch["gt_valid"][0], first["gt_valid"])
    assert (batch["gt_valid"][1] == 1).all()
    assert (batch["gt_occlusion"][0] == 255).all()
    assert (batch["gt_occlusion"][1] == 0).all()
    assert batch["gt_valid"].dtype == batch["gt_occlusion"].dtype == torch.uint8
    assert "gt_occlusion" not in first


def test_images_of_several_sizes_become_several_batches() -> None:
    small = {"img": torch.zeros(6, 4, 5), "img_id": 1}
    large = {"img": torch.ones(6, 4, 6), "img_id": 2}
    collate = CollateBySize(collate_2d)
    one, two = collate([small, large, small])
    assert one["img"].shape == (2, 6, 4, 5)
    assert two["img_id"] == [2]
    assert collate([large, large])["img"].shape == (2, 6, 4, 6)


def test_arrays_are_refused() -> None:
    with pytest.raises(InputError, match=r"00001.*ToTensor"):
        collate_2d([sample(0, layout="hwc")])


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        collate_2d([])


def test_the_name_that_configs_use() -> None:
    assert hat.data.collates.collate_2d is collate_2d


def test_samples_get_names():
    collate = NamedCollate(["image", "label"])
    image = np.ones((1, 2, 3), np.float32)
    batch = collate([(image, 4), (2 * image, 5)])
    assert batch["image"].shape == (2, 1, 2, 3)
    assert batch["label"].tolist() == [4, 5]
    assert collate([{"image": image, "other": 1}])["other"].tolist() == [1]
    with pytest.raises(InputError, match="has 3 parts; expected 2: image, label"):
        collate([(image, 4, 5)])
    with pytest.raises(InputError, match="make no batch"):
        collate([(image, 4), (image[:, :1], 5)])


def test_named_samples_of_64_bits() -> None:
    sample = (np.zeros((3, 4, 4)), 0.5, {"mask": np.ones((4, 4))}, 7)
    batch = NamedCollate(["image", "target", "more", "label"])([sample, sample])
    assert batch["image"].dtype == batch["target"].dtype == torch.float32
    assert batch["more"]["mask"].dtype == torch.float32
    assert batch["label"].dtype == torch.int64
