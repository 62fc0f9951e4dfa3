"""Access to a sample's arrays, whatever its layout.

A sample keeps images, flow and masks as ``(H, W, C)`` numpy arrays (``layout`` "hwc") or, after
``ToTensor``, as ``(C, H, W)`` tensors that are permuted views of the same memory ("chw"). OpenCV
wants ``(H, W, C)``; ``hwc`` gives that view without a copy and ``put`` stores a result back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hat.errors import InputError

MASKS = ("gt_valid", "gt_occlusion", "gt_noc", "gt_object")
"""Maps of one value a pixel that move with the flow; a sample has some of them or none."""
UNKNOWN = 255
"""Of a mask other than ``gt_valid``: the pixel may be either."""


def sample_name(data: dict[str, Any]) -> str:
    """How messages call this sample."""
    return f"sample {data.get('img_name', data.get('img_id', '?'))}"


def hwc(data: dict[str, Any], key: str) -> np.ndarray | None:
    """``data[key]`` as an ``(H, W, C)`` array (a mask: ``(H, W)``), a view where possible.

    Returns None when the sample has no such entry. The caller must not write to the array.
    """
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        if value.ndim != 3:
            raise InputError(
                f"{sample_name(data)}: {key} has shape {tuple(value.shape)}; expected (C, H, W)"
            )
        value = value[0].numpy() if key in MASKS else value.permute(1, 2, 0).numpy()
    return value


def image_pair(data: dict[str, Any]) -> np.ndarray:
    """The images as uint8 ``(H, W, 6)``; InputError if they are anything else."""
    image = hwc(data, "img")
    if image is None:
        raise InputError(f"{sample_name(data)}: no 'img'; found the keys {sorted(data)}")
    if image.ndim != 3 or image.shape[2] != 6 or image.dtype != np.uint8:
        raise InputError(
            f"{sample_name(data)}: img is {image.dtype} of shape {image.shape} (H, W, C); "
            f"expected uint8 (H, W, 6), image 1 then image 2"
        )
    return image


def put(data: dict[str, Any], key: str, array: np.ndarray) -> None:
    """Store an ``(H, W[, C])`` array under ``key`` in the sample's layout."""
    data[key] = to_chw(array) if data.get("layout") == "chw" else array
    if key == "img":
        data["img_shape"] = tuple(array.shape)


def to_chw(array: np.ndarray) -> torch.Tensor:
    """``(H, W)`` or ``(H, W, C)`` as a ``(C, H, W)`` tensor: a permuted view of ``array``.

    Copies only what torch cannot share: strided rows, negative strides, read-only memory.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if not (array.flags.c_contiguous and array.flags.writeable):
        array = np.array(array, order="C")
    return torch.from_numpy(array).permute(2, 0, 1)


def probability(value: float, name: str) -> float:
    """``value`` if it is a probability; ValueError with its name if not."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a probability in [0, 1], found {value!r}")
    return float(value)


def size_pair(size: int | Sequence[int], name: str = "size") -> tuple[int, int]:
    """``(height, width)`` from a pair or from one number for a square; ValueError if unusable."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(int(side) != side or side < 1 for side in pair):
        raise ValueError(f"{name} is (height, width) in whole pixels, found {size!r}")
    return int(pair[0]), int(pair[1])
