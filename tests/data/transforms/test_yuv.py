"""YUV444 conversion: reference values, both orders, the two forms against each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from hat.data.transforms import BgrToYuv444, board_image, rgb_to_yuv444_uint8
from hat.errors import InputError

# RGB -> (Y, U, V) by BT.601 full range, worked out by hand
REFERENCE = {
    (255, 255, 255): (255.0, 128.0, 128.0),
    (0, 0, 0): (0.0, 128.0, 128.0),
    (100, 100, 100): (100.0, 128.0, 128.0),
    (255, 0, 0): (76.245, 84.97232, 255.0),
    (0, 255, 0): (149.685, 43.52765, 21.23466),
    (0, 0, 255): (29.07, 255.0, 107.26534),
    (10, 200, 60): (127.23, 90.05982, 44.38374),
}


def cube() -> np.ndarray:
    """All colours of a grid of 5 levels (0, 5, ..., 255), uint8 (52^3, 3)."""
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)


def as_batch(colours: np.ndarray, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    """(N, 3) as a batch (1, 6, N, 1): the colours, and the same in reverse, as two images."""
    both = np.concatenate([colours, colours[::-1]], axis=1)
    return torch.tensor(both.T[None, :, :, None].copy(), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_reference_values(dtype: torch.dtype) -> None:
    rgb = np.array(list(REFERENCE), np.uint8)
    expected = np.array(list(REFERENCE.values()))
    out = BgrToYuv444(rgb_input=True)({"img": as_batch(rgb, dtype)})["img"]
    assert out.dtype == torch.float32
    assert out.shape == (1, 6, len(rgb), 1)
    np.testing.assert_allclose(out[0, :3, :, 0].T, expected, atol=1e-3)
    np.testing.assert_allclose(out[0, 3:, :, 0].T, expected[::-1], atol=1e-3)


@pytest.mark.parametrize("integer", [False, True])
def test_channel_order(integer: bool) -> None:
    rgb = cube()
    one = BgrToYuv444(True, integer)({"img": as_batch(rgb)})["img"]
    two = BgrToYuv444(False, integer)({"img": as_batch(rgb[:, ::-1])})["img"]
    assert torch.equal(one, two)
    assert not torch.equal(one, BgrToYuv444(False, integer)({"img": as_batch(rgb)})["img"])


def test_integer_form_is_within_one_level_of_the_float_form() -> None:
    rgb = cube()
    exact = BgrToYuv444(True)({"img": as_batch(rgb)})["img"][0, :3, :, 0].T.numpy()
    integer = rgb_to_yuv444_uint8(rgb)
    assert integer.dtype == np.uint8
    assert np.abs(integer - exact).max() < 1.01
    assert np.abs(integer - np.rint(exact)).max() <= 1


def test_integer_form_agrees_with_opencv_within_one_level() -> None:
    rgb = cube()[None]
    y, v, u = np.moveaxis(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(int), -1, 0)
    assert np.abs(rgb_to_yuv444_uint8(rgb) - np.stack([y, u, v], -1)).max() <= 1


def test_integer_batch_has_the_bits_of_the_board() -> None:
    rgb = cube()
    out = BgrToYuv444(True, integer=True)({"img": as_batch(rgb)})["img"]
    assert out.dtype == torch.float32
    np.testing.assert_array_equal(out[0, :3, :, 0].T.numpy(), rgb_to_yuv444_uint8(rgb))
    bgr = rgb_to_yuv444_uint8(np.ascontiguousarray(rgb[:, ::-1]), bgr=True)
    np.testing.assert_array_equal(bgr, rgb_to_yuv444_uint8(rgb))


def test_integer_form_by_the_formula() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20000, 3), dtype=np.uint8)
    rows = np.array([[77, 150, 29], [-43, -85, 128], [128, -107, -21]])
    sums = rgb.astype(np.int64) @ rows.T
    assert (sums % 256 == 128).any(axis=0).all(), "exact halves are among them"
    rounded = np.floor(sums / 256 + 0.5) + np.array([0, 128, 128])
    np.testing.assert_array_equal(rgb_to_yuv444_uint8(rgb), rounded.clip(0, 255))


def test_the_board_s_planes_by_the_formula_for_every_colour() -> None:
    """All 2^24 of them, a level of red at a time."""
    rows = np.array([[77, 150, 29], [-43, -85, 128], [128, -107, -21]], np.int32)
    g, b = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    for r in range(256):
        pair = np.empty((256, 256, 6), np.uint8)
        pair[..., 0::3], pair[..., 1::3], pair[..., 2::3] = r, g[..., None], b[..., None]
        found = board_image(pair)
        for channel, row in enumerate(rows):
            value = ((row[0] * r + row[1] * g + row[2] * b + 128) >> 8) + 128 * (channel > 0)
            np.testing.assert_array_equal(found[channel], value.clip(0, 255))
        np.testing.assert_array_equal(found[:3], found[3:])


def test_the_board_s_planes_in_both_orders() -> None:
    pair = np.random.default_rng(0).integers(0, 256, (5, 7, 6), np.uint8)
    expected = np.concatenate([rgb_to_yuv444_uint8(pair[..., i : i + 3]) for i in (0, 3)], axis=2)
    np.testing.assert_array_equal(board_image(pair), expected.transpose(2, 0, 1))
    swapped = np.ascontiguousarray(pair[..., [2, 1, 0, 5, 4, 3]])
    np.testing.assert_array_equal(board_image(swapped, bgr=True), board_image(pair))
    for wrong in (pair[..., :4], pair[0], pair.astype(np.float32)):
        with pytest.raises(InputError, match="board_image"):
            board_image(wrong)


def test_greys_are_exactly_grey() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    out = rgb_to_yuv444_uint8(grey)
    np.testing.assert_array_equal(out[:, 0], grey[:, 0])
    assert (out[:, 1:] == 128).all()


def test_autocast_costs_nothing() -> None:
    batch = {"img": as_batch(cube())}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = BgrToYuv444(True)(batch)["img"]
    assert torch.equal(out, BgrToYuv444(True)(batch)["img"])


def test_memory_order_does_not_matter() -> None:
    image = torch.randint(0, 256, (2, 5, 7, 6), dtype=torch.uint8).permute(0, 3, 1, 2)
    out = BgrToYuv444(True)({"img": image})["img"]
    assert out.is_contiguous()
    assert torch.equal(out, BgrToYuv444(True)({"img": image.contiguous()})["img"])


def test_colour_space_is_checked_and_updated() -> None:
    image = torch.zeros(2, 6, 4, 4, dtype=torch.uint8)
    batch = {"img": image, "color_space": ["rgb", "rgb"]}
    assert BgrToYuv444(True)(batch)["color_space"] == ["yuv444", "yuv444"]
    assert batch["color_space"] == ["rgb", "rgb"]
    assert BgrToYuv444(False)({"img": image, "color_space": "bgr"})["color_space"] == "yuv444"
    for spaces in (["bgr", "bgr"], ["rgb", "bgr"], ["yuv444", "yuv444"]):
        with pytest.raises(InputError, match="rgb_input"):
            BgrToYuv444(True)({"img": image, "color_space": spaces})


def test_wrong_shapes() -> None:
    with pytest.raises(InputError, match=r"\(2, 4, 3, 3\)"):
        BgrToYuv444(True)({"img": torch.zeros(2, 4, 3, 3)})
    with pytest.raises(InputError, match="float64"):
        rgb_to_yuv444_uint8(np.zeros((2, 3)))
