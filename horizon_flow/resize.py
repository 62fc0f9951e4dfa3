"""Flow at the size of its image, and images at the size of a program."""

from __future__ import annotations

import numpy as np

from horizon.extension import native


def enlarged(flow: np.ndarray, factor: int, size: tuple[int, int]) -> np.ndarray:
    """The flow of a pyramid level at the size of the image.

    Bilinear by exactly ``factor``, with half-pixel centres, then cropped; values stay as they are.

    Args:
        flow: float32 (2, ceil(H / factor), ceil(W / factor)), px of the image.
        size: (H, W) of the image.

    Returns:
        float32 (H, W, 2).
    """
    large = np.empty((*size, 2), np.float32)
    native.enlarge_flow(np.ascontiguousarray(flow), factor, large)
    return large


def fitting_size(size: tuple[int, int], largest: tuple[int, int]) -> tuple[int, int]:
    """``size`` (H, W), scaled down in both directions alike if it exceeds ``largest``."""
    scale = min(1.0, *(most / side for most, side in zip(largest, size, strict=True)))
    height, width = (
        min(most, max(1, round(side * scale))) for most, side in zip(largest, size, strict=True)
    )
    return height, width


def scaled_down(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A uint8 image at a smaller size (H, W), averaged over areas; itself at its own."""
    if image.shape[:2] == size:
        return image
    pixels = np.ascontiguousarray(image).reshape(*image.shape[:2], -1)
    small = np.empty((*size, pixels.shape[2]), np.uint8)
    native.average_areas(pixels, small)
    return small.reshape(*size, *image.shape[2:])


def scaled_flow(flow: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Flow (h, w, 2) of a scaled image for the image of ``size`` (H, W), px of that."""
    height, width = flow.shape[:2]
    if (height, width) == size:
        return flow
    ratio = np.array([size[1] / width, size[0] / height], np.float32)
    rows = _interpolated(flow * ratio, size[0])
    return np.ascontiguousarray(_interpolated(rows.swapaxes(0, 1), size[1]).swapaxes(0, 1))


def _interpolated(values: np.ndarray, count: int) -> np.ndarray:
    """``count`` values along the first axis, linear, with half-pixel centres; float32."""
    last = len(values) - 1
    places = np.clip((np.arange(count) + 0.5) * (len(values) / count) - 0.5, 0, last)
    low = places.astype(int)
    part = (places - low).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] + (values[np.minimum(low + 1, last)] - values[low]) * part
