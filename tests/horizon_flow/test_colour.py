from __future__ import annotations

import numpy as np
import pytest
import torch

from hat.data.transforms import BgrToYuv444
from horizon_flow.colour import fill_planes


def by_hat(image: np.ndarray, bgr: bool = False) -> np.ndarray:
    """The toolkit's integer conversion in torch, (3, H, W)."""
    batch = {"img": torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0)))[None]}
    converted = BgrToYuv444(rgb_input=not bgr, integer=True)(batch)["img"]
    return converted[0].numpy().astype(np.uint8)


def planes_of(image: np.ndarray) -> np.ndarray:
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    fill_planes(image, planes)
    return planes


def test_every_colour_is_converted_as_hat_does():
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    image = np.empty((256, 256, 3), np.uint8)
    image[..., 1], image[..., 2] = green, blue
    for red in range(256):
        image[..., 0] = red
        np.testing.assert_array_equal(planes_of(image), by_hat(image))


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (70, 33)])
def test_the_border_is_repeated(size, bgr):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    planes = np.empty((3, 72, 40), np.uint8)
    fill_planes(image, planes, bgr)
    padding = ((0, 0), (0, 72 - size[0]), (0, 40 - size[1]))
    np.testing.assert_array_equal(planes, np.pad(by_hat(image, bgr), padding, mode="edge"))


def test_arrays_in_any_order_of_memory():
    image = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    views = [image[::-1], image[:, ::-2], image.transpose(1, 0, 2), image[..., ::-1]]
    image.flags.writeable = False
    for view in [*views, image]:
        np.testing.assert_array_equal(planes_of(view), by_hat(view.copy()))


def test_a_grey_image_is_three_equal_channels():
    grey = np.random.default_rng(0).integers(0, 256, (9, 11), dtype=np.uint8)
    one, three = np.empty((2, 3, 12, 12), np.uint8)
    fill_planes(grey, one)
    fill_planes(np.repeat(grey[..., None], 3, axis=2), three)
    np.testing.assert_array_equal(one, three)
