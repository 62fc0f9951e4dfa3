from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from horizon.errors import InputError
from horizon_flow.images import image_batch

COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
BATCH = np.stack([COLOUR, COLOUR[::-1]])


class LikePillow:
    """Only what numpy asks of it."""

    def __init__(self, array):
        self.__array_interface__ = array.__array_interface__
        self.array = array


@pytest.mark.parametrize(
    ("given", "expected", "batch"),
    [
        (COLOUR, COLOUR[None], False),
        (GREY, GREY[None], False),
        (GREY[..., None], GREY[None], False),
        (BATCH, BATCH, True),
        (BATCH[..., :1], BATCH[..., 0], True),
        (LikePillow(COLOUR), COLOUR[None], False),
        (torch.from_numpy(COLOUR), COLOUR[None], False),
        (torch.from_numpy(COLOUR).permute(2, 0, 1), COLOUR[None], False),
        (torch.from_numpy(BATCH).permute(0, 3, 1, 2), BATCH, True),
        (torch.from_numpy(BATCH), BATCH, True),
        (torch.from_numpy(GREY.copy()), GREY[None], False),
        (torch.from_numpy(GREY.copy())[None], GREY[None], False),
    ],
)
def test_every_form_of_an_image(given, expected, batch):
    found, is_batch = image_batch(given, "image1")
    np.testing.assert_array_equal(found, expected)
    assert found.shape == expected.shape
    assert is_batch == batch


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (COLOUR / 255, r"image1: found float64.*expected uint8.*255 \* image"),
        (torch.rand(3, 5, 7), r"found float32.*expected uint8"),
        (COLOUR.astype(np.uint16), "found uint16.*>> 8"),
        (COLOUR.astype(np.int64), r"found int64.*astype\(numpy.uint8\)"),
        (COLOUR.transpose(2, 0, 1), r"shape \(3, 5, 7\).*channels last: numpy.moveaxis"),
        (np.zeros((5, 7, 4), np.uint8), r"shape \(5, 7, 4\).*image\[..., :3\]"),
        (np.zeros((5, 7, 2), np.uint8), r"shape \(5, 7, 2\), expected uint8 \(H, W, 3\)"),
        (np.zeros((0, 7, 3), np.uint8), r"shape \(0, 7, 3\), which has no pixels"),
        (np.zeros((0, 5, 7, 3), np.uint8), "which has no pixels"),
        (np.zeros(3, np.uint8), r"shape \(3,\)"),
        (np.zeros((1, 1, 5, 7, 3), np.uint8), r"shape \(1, 1, 5, 7, 3\)"),
        ("a.png", "found the path 'a.png', expected an image"),
        (Path("a.png"), "found the path"),
        (None, "image1: found None.*cv2.imread"),
        ({}, "found object values, expected uint8"),
        ([[1, 2], [3]], "image1: .*no array"),
        (COLOUR > 100, r"found bool.*255 \* image.astype\(numpy.uint8\)"),
        (Image.new("P", (7, 5)), r"Pillow image of mode P.*image.convert\('RGB'\)"),
        (Image.new("CMYK", (7, 5)), "mode CMYK, expected RGB or L"),
        (Image.new("RGBA", (7, 5)), "mode RGBA, expected RGB or L"),
        (BATCH[..., 0], r"expected uint8.*images\[..., None\]"),
        (torch.zeros(5, 7, 3, dtype=torch.uint8, device="meta"), "a tensor whose values numpy"),
    ],
)
def test_what_is_no_image_is_told(given, message):
    with pytest.raises(InputError, match=message):
        image_batch(given, "image1")


def test_tensors_are_told_what_torch_can_do() -> None:
    with pytest.raises(InputError, match=r"\(255 \* image\)\.round\(\)\.byte\(\)"):
        image_batch(torch.zeros(3, 4, 5), "image1")
    with pytest.raises(InputError, match=r"image\.byte\(\)"):
        image_batch(torch.zeros(3, 4, 5, dtype=torch.int64), "image1")


@pytest.mark.parametrize("shape", [(1, 500, 3), (3, 50, 3), (2, 3, 50, 3), (3, 500, 1), (1, 9, 1)])
def test_a_tensor_that_can_be_read_both_ways_is_refused(shape: tuple[int, ...]) -> None:
    tensor = torch.zeros(shape, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"image1: found a tensor of shape .* first or the last"):
        image_batch(tensor, "image1")
    found, _ = image_batch(tensor.numpy(), "image1")  # an array's channels are always last
    assert found.shape[:3] == ((1, *shape) if len(shape) == 3 else shape)[:3]
