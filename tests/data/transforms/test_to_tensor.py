"""ToTensor: shapes, shared memory, YUV on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hat.data.transforms import RandomFlip, ToTensor, rgb_to_yuv444_uint8
from hat.errors import InputError
from tests.data.transforms.pairs import make_sample

RNG = np.random.default_rng(0)


def test_shapes_and_types() -> None:
    data = make_sample()
    data["gt_valid"] = np.ones((96, 128), np.uint8)
    out = ToTensor(to_yuv=False)(dict(data), RNG)
    assert out["layout"] == "chw"
    assert out["img_shape"] == (96, 128, 6)
    assert (out["img"].shape, out["img"].dtype) == ((6, 96, 128), torch.uint8)
    assert (out["gt_flow"].shape, out["gt_flow"].dtype) == ((2, 96, 128), torch.float32)
    assert (out["gt_valid"].shape, out["gt_valid"].dtype) == ((1, 96, 128), torch.uint8)
    np.testing.assert_array_equal(out["img"][4], data["img"][..., 4])
    np.testing.assert_array_equal(out["gt_flow"][1], data["gt_flow"][..., 1])


def test_memory_is_shared_and_read_only_memory_is_not() -> None:
    data = make_sample()
    out = ToTensor()(dict(data), RNG)
    assert out["img"].data_ptr() == data["img"].ctypes.data
    assert out["img"].permute(1, 2, 0).is_contiguous()
    data["img"].setflags(write=False)
    assert ToTensor()(dict(data), RNG)["img"].data_ptr() != data["img"].ctypes.data


def test_to_yuv() -> None:
    expected = rgb_to_yuv444_uint8(make_sample()["img"].reshape(96, 128, 2, 3))
    out = ToTensor(to_yuv=True)(make_sample(), RNG)
    assert out["color_space"] == "yuv444"
    assert out["img"].dtype == torch.uint8
    np.testing.assert_array_equal(out["img"].permute(1, 2, 0), expected.reshape(96, 128, 6))
    bgr = make_sample()
    pairs = bgr["img"].reshape(96, 128, 2, 3)[..., ::-1]
    bgr.update(img=np.ascontiguousarray(pairs).reshape(96, 128, 6), color_space="bgr")
    assert torch.equal(ToTensor(to_yuv=True)(bgr, RNG)["img"], out["img"])


def test_a_sample_without_flow() -> None:
    data = make_sample()
    del data["gt_flow"]
    out = ToTensor()(RandomFlip(1.0, 1.0)(data, RNG), RNG)
    assert set(out) == set(data)


def test_wrong_use() -> None:
    with pytest.raises(InputError, match=r"00001.*once"):
        ToTensor()(make_sample("chw"), RNG)
    data = make_sample()
    data["color_space"] = "yuv444"
    with pytest.raises(InputError, match=r"00001.*yuv444"):
        ToTensor(to_yuv=True)(data, RNG)
