"""Flow at the size of its image, and images at the size of a program.

OpenCV is imported where it is used: only who computes a flow needs it.
"""

from __future__ import annotations

import numpy as np


def enlarged(flow: np.ndarray, factor: int, size: tuple[int, int]) -> np.ndarray:
    """The flow of a pyramid level at the size of the image.

    Bilinear by exactly ``factor``, with half-pixel centres, then cropped; values stay as they are.

    Args:
        flow: float32 (2, ceil(H / factor), ceil(W / factor)), px of the image.
        size: (H, W) of the image.

    Returns:
        float32 (H, W, 2).
    """
    import cv2

    height, width = flow.shape[1] * factor, flow.shape[2] * factor
    pairs = np.ascontiguousarray(np.moveaxis(flow, 0, 2))
    large = cv2.resize(pairs, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[: size[0], : size[1]])


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
    import cv2

    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def scaled_flow(flow: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Flow (h, w, 2) of a scaled image for the image of ``size`` (H, W), px of that."""
    height, width = flow.shape[:2]
    if (height, width) == size:
        return flow
    import cv2

    ratio = np.array([size[1] / width, size[0] / height], np.float32)
    return cv2.resize(flow, size[::-1], interpolation=cv2.INTER_LINEAR) * ratio
