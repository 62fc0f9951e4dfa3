"""Matrix products of two maps, in real numbers or integers that these hold."""

from __future__ import annotations

from torch import Tensor


def map_product(first: Tensor, second: Tensor, heads: int, transposed: bool) -> Tensor:
    """Products of two maps as matrices, one for each image and head (a group of channels).

    Args:
        first: (N, heads * K, H, W).
        second: (N, heads * K, h, w) if ``transposed``: each pixel of the first with each of the
            second. Otherwise (N, heads * L, h, w) with h * w = K: the sum runs over its pixels.

    Returns:
        (N, heads * h * w, H, W) or (N, heads * L, H, W).
    """
    images, _, height, width = first.shape
    left = first.reshape(images, heads, -1, height * width)
    right = second.reshape(images, heads, second.shape[1] // heads, -1)
    if transposed:
        right = right.transpose(2, 3)
    return (right @ left).reshape(images, -1, height, width)
