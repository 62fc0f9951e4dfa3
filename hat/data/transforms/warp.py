"""Affine warps of a sample: the geometry that the random transforms share.

Coordinates are pixel centres: pixel (x, y) of an image of W x H sits at (x, y), the centre of the
image at ((W - 1) / 2, (H - 1) / 2). With image 1 and image 2 related by ``I1(p) = I2(p + f(p))``
and both moved by ``p -> A p + b`` (image 2 by a further shift ``s``), the new flow is

    f'(A p + b) = A f(p) + s
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from hat.data.transforms.sample import MASKS, UNKNOWN, hwc, image_pair, put

# channels of a pair to those of its two images, and back
_SPLIT = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def about_centre(height: int, width: int, angle: float, scale: float) -> np.ndarray:
    """The 2x3 matrix of a turn by ``angle`` degrees and a zoom by ``scale`` about the centre.

    Positive angles turn clockwise on the screen (y points down), as in torchvision.
    """
    cos, sin = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    linear = np.array([[cos, -sin], [sin, cos]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.column_stack([linear, centre - linear @ centre])


def ensure_valid(data: dict[str, Any]) -> None:
    """Give the sample a ``gt_valid`` of ones if it has flow and no validity yet."""
    flow = hwc(data, "gt_flow")
    if flow is not None and data.get("gt_valid") is None:
        put(data, "gt_valid", np.ones(flow.shape[:2], np.uint8))


def split_pair(pair: np.ndarray) -> list[np.ndarray]:
    """Image 1 and image 2, uint8 (H, W, 3) each, of a pair (H, W, 6): copies, made quickly."""
    halves = [np.empty((*pair.shape[:2], 3), np.uint8) for _ in range(2)]
    cv2.mixChannels([pair], halves, _SPLIT)
    return halves


def join_pair(halves: Sequence[np.ndarray]) -> np.ndarray:
    """The pair (H, W, 6) of two images uint8 (H, W, 3)."""
    out = np.empty((*halves[0].shape[:2], 6), np.uint8)
    cv2.mixChannels(list(halves), [out], _SPLIT)
    return out


def shift_second(pair: np.ndarray, dx: int, dy: int, fill: float) -> np.ndarray:
    """``pair`` (H, W, 6) with image 2 moved by whole pixels: ``I2'(q) = I2(q - (dx, dy))``."""
    height, width = pair.shape[:2]
    out = pair.copy()
    rows, source_rows = _overlap(dy, height)
    columns, source_columns = _overlap(dx, width)
    moved = np.ascontiguousarray(pair[source_rows, source_columns])
    if moved.size:
        # One masked copy of bytes: numpy's copy of every second run of three is 20 times slower.
        count, span = moved.shape[0], moved.shape[1] * 6
        flat = out.reshape(height, width * 6)[rows, columns.start * 6 : columns.stop * 6]
        cv2.copyTo(moved.reshape(count, span), second_image_mask(height, width)[rows, :span], flat)
    out[: rows.start, :, 3:] = fill
    out[rows.stop :, :, 3:] = fill
    out[rows, : columns.start, 3:] = fill
    out[rows, columns.stop :, 3:] = fill
    return out


@functools.lru_cache(maxsize=4)
def second_image_mask(height: int, width: int) -> np.ndarray:
    """uint8 (H, 6 W), read-only: 255 on the bytes of image 2 in a pair (H, W, 6)."""
    mask = np.tile(np.array([0, 0, 0, 255, 255, 255], np.uint8), (height, width))
    mask.setflags(write=False)
    return mask


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where ``size`` pixels moved by ``shift`` land, and where they come from."""
    shift = max(-size, min(size, shift))
    if shift >= 0:
        return slice(shift, size), slice(0, size - shift)
    return slice(0, size + shift), slice(-shift, size)


def add_to_flow(data: dict[str, Any], dx: float, dy: float) -> None:
    """Add (dx, dy) pixels to the flow everywhere."""
    flow = hwc(data, "gt_flow")
    if flow is not None:
        put(data, "gt_flow", cv2.transform(flow, np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])))


def warp_images(
    pair: np.ndarray,
    matrix: np.ndarray,
    shift: tuple[float, float] = (0.0, 0.0),
    interpolation: int = cv2.INTER_LINEAR,
    fill: float = 0.0,
) -> np.ndarray:
    """Both images under ``matrix`` (2x3, source to target), image 2 moved on by ``shift`` px."""
    height, width = pair.shape[:2]
    # Two warps of three channels are quicker than one of six, which not every interpolation takes.
    halves = split_pair(pair)
    second = matrix.copy()
    second[:, 2] += shift
    warped = [
        cv2.warpAffine(half, one, (width, height), flags=interpolation, borderValue=(fill,) * 3)
        for half, one in zip(halves, (matrix, second), strict=True)
    ]
    return join_pair(warped)


def warp_flow(
    flow: np.ndarray,
    valid: np.ndarray | None,
    matrix: np.ndarray,
    shift: tuple[float, float] = (0.0, 0.0),
    nearest: bool = False,
    fill: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Flow map and validity under ``matrix``; the vectors turn and grow with it.

    Args:
        flow: float32 (H, W, 2) px. valid: uint8 (H, W), or None where all is valid.
        shift: what image 2 alone moves by, in px.
        nearest: take the nearest vector instead of interpolating bilinearly.
        fill: value of both components where the result is invalid.

    Returns:
        The new flow, and the new validity: 1 where every pixel with a share in the result lies in
        the image and is valid. Where some are not, but the nearest one is, its vector stands alone:
        sparse ground truth stays as dense as it was.
    """
    height, width = flow.shape[:2]
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    weight: np.ndarray
    if valid is None:
        weight = np.full((height, width), 255, np.uint8)
    else:
        weight = cv2.threshold(valid, 0, 255, cv2.THRESH_BINARY)[1]
        if not weight.all():
            # unknown flow may be anything, NaN included, which even a weight of zero lets through
            flow = cv2.copyTo(flow, weight)
    moved = cv2.warpAffine(flow, matrix, (width, height), flags=flags)
    share = cv2.warpAffine(weight, matrix, (width, height), flags=flags)
    vectors = cv2.transform(moved, np.column_stack([matrix[:, :2], shift]))
    known = cv2.threshold(share, 254, 1, cv2.THRESH_BINARY)[1]
    if not nearest and not weight.all():
        inside = cv2.warpAffine(np.full_like(weight, 255), matrix, (width, height), flags=flags)
        closest = cv2.warpAffine(weight, matrix, (width, height), flags=cv2.INTER_NEAREST)
        sole = ((inside == 255) & (closest > 0) & (known == 0)).astype(np.uint8)
        moved = cv2.warpAffine(flow, matrix, (width, height), flags=cv2.INTER_NEAREST)
        turned = cv2.transform(moved, np.column_stack([matrix[:, :2], shift]))
        vectors = cv2.copyTo(turned, sole, vectors)
        known = cv2.bitwise_or(known, sole)
    if not known.all():
        vectors = cv2.copyTo(vectors, known, np.full_like(vectors, fill))
    return vectors, known


def warp_sample(
    data: dict[str, Any],
    matrix: np.ndarray,
    shift: tuple[float, float] = (0.0, 0.0),
    interpolation: int = cv2.INTER_LINEAR,
    fill: float = 0.0,
    flow_fill: float = 0.0,
) -> None:
    """Warp images, flow and masks of a sample (``warp_images``, ``warp_flow``)."""
    put(data, "img", warp_images(image_pair(data), matrix, shift, interpolation, fill))
    flow = hwc(data, "gt_flow")
    if flow is not None:
        nearest = interpolation == cv2.INTER_NEAREST
        flow, valid = warp_flow(flow, hwc(data, "gt_valid"), matrix, shift, nearest, flow_fill)
        put(data, "gt_flow", flow)
        put(data, "gt_valid", valid)
    for key in MASKS[1:]:
        mask = hwc(data, key)
        if mask is not None:
            size = mask.shape[::-1]
            flag, outside = cv2.INTER_NEAREST, UNKNOWN
            put(data, key, cv2.warpAffine(mask, matrix, size, flags=flag, borderValue=outside))
