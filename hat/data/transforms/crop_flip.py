"""Crops and flips: transforms that only move whole pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from hat.data.transforms.sample import (
    MASKS,
    hwc,
    image_pair,
    probability,
    put,
    sample_name,
    size_pair,
)
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY

_KEYS = ("img", "gt_flow", *MASKS)


def crop(data: dict[str, Any], top: int, left: int, height: int, width: int) -> dict[str, Any]:
    """Cut images, flow and validity to the window of (height, width) px from (top, left)."""
    for key in _KEYS:
        array = hwc(data, key)
        if array is not None:
            put(data, key, array[top : top + height, left : left + width])
    return data


def _room(data: dict[str, Any], size: tuple[int, int], transform: str) -> tuple[int, int]:
    """How far a window of ``size`` can move (rows, columns); InputError if it does not fit."""
    rows, columns = image_pair(data).shape[:2]
    if size[0] > rows or size[1] > columns:
        raise InputError(
            f"{sample_name(data)}: {transform} of {size[0]}x{size[1]} (height x width) does not "
            f"fit into the image of {rows}x{columns}; choose a smaller size or put Resize before it"
        )
    return rows - size[0], columns - size[1]


@OBJECT_REGISTRY.register
class RandomCrop:
    """Crop images, flow and masks to one window at a uniformly random place.

    Flow is a displacement, so a crop leaves its values alone.

    Args:
        size: (height, width) of the window in pixels, or one number for a square.

    Raises:
        InputError: the window is larger than the image; names sample and sizes.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = size_pair(size)

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        rows, columns = _room(data, self.size, "RandomCrop")
        top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
        return crop(data, top, left, *self.size)


@OBJECT_REGISTRY.register
class CenterCrop:
    """Crop images, flow and masks to the central window of ``size`` (height, width).

    Raises:
        InputError: the window is larger than the image; names sample and sizes.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = size_pair(size)

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        rows, columns = _room(data, self.size, "CenterCrop")
        return crop(data, rows // 2, columns // 2, *self.size)


@OBJECT_REGISTRY.register
class RandomFlip:
    """Mirror images, flow and masks; the mirrored component of the flow changes sign.

    Args:
        px: probability of a left-right flip (negates u).
        py: probability of an upside-down flip (negates v), independent of the first.
    """

    def __init__(self, px: float = 0.5, py: float = 0.5) -> None:
        self.px = probability(px, "px")
        self.py = probability(py, "py")

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        flip_x, flip_y = rng.random() < self.px, rng.random() < self.py
        if not (flip_x or flip_y):
            return data
        code = -1 if flip_x and flip_y else 1 if flip_x else 0
        for key in _KEYS:
            array = hwc(data, key)
            if array is None:
                continue
            array = cv2.flip(array, code)
            if key == "gt_flow":
                # a matrix product in OpenCV is many times faster than a strided numpy product
                signs = np.diag([-1.0 if flip_x else 1.0, -1.0 if flip_y else 1.0])
                array = cv2.transform(array, signs)
            put(data, key, array)
        return data
