"""Affine warps of a sample: the geometry that the random transforms share.

Coordinates are pixel centres: pixel (x, y) of an image of W x H sits at (x, y), the centre of the
image at ((W - 1) / 2, (H - 1) / 2). With image 1 and image 2 related by ``I1(p) = I2(p + f(p))``
and both moved by ``p -> A p + b`` (image 2 by a further shift ``s``), the new flow is

    f'(A p + b) = A f(p) + s
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from hat.data.transforms.sample import hwc, image_pair, put


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


def shift_second(pair: np.ndarray, dx: int, dy: int, fill: float) -> np.ndarray:
    """``pair`` (H, W, 6) with image 2 moved by whole pixels: ``I2'(q) = I2(q - (dx, dy))``."""
    height, width = pair.shape[:2]
    out = pair.copy()
    rows, source_rows = _overlap(dy, height)
    columns, source_columns = _overlap(dx, width)
    target = out[rows, columns]
    moved = pair[source_rows, source_columns]
    # One masked copy of bytes: numpy's copy of every second run of three is 20 times slower.
    span = (target.shape[0], target.shape[1] * 6)
    mask = np.tile(np.array([0, 0, 0, 255, 255, 255], np.uint8), (span[0], target.shape[1]))
    flat = out.reshape(height, width * 6)[rows, columns.start * 6 : columns.stop * 6]
    cv2.copyTo(np.ascontiguousarray(moved).reshape(span), mask, flat)
    out[: rows.start, :, 3:] = fill
    out[rows.stop :, :, 3:] = fill
    out[rows, : columns.start, 3:] = fill
    out[rows, columns.stop :, 3:] = fill
    return out


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
    size = (pair.shape[1], pair.shape[0])
    border = (fill, fill, fill, fill)
    # OpenCV warps more than four channels at once by these two only
    if not any(shift) and interpolation in (cv2.INTER_LINEAR, cv2.INTER_NEAREST):
        return cv2.warpAffine(pair, matrix, size, flags=interpolation, borderValue=border)
    second = matrix.copy()
    second[:, 2] += shift
    halves = [
        cv2.warpAffine(half, one, size, flags=interpolation, borderValue=border)
        for half, one in ((pair[..., :3], matrix), (pair[..., 3:], second))
    ]
    return np.concatenate(halves, axis=2)


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
        The new flow, and the new validity: 1 only where every pixel with a share in the
        result lies in the image and is valid.
    """
    height, width = flow.shape[:2]
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    if valid is None:
        weight = np.full((height, width), 255, np.uint8)
    else:
        weight = np.where(valid > 0, 255, 0).astype(np.uint8)
        if not weight.all():
            # unknown flow may be anything, NaN included, which even a weight of zero lets through
            flow = np.where(weight[:, :, None] > 0, flow, np.float32(0))
    moved = cv2.warpAffine(flow, matrix, (width, height), flags=flags)
    share = cv2.warpAffine(weight, matrix, (width, height), flags=flags)
    vectors = cv2.transform(moved, np.column_stack([matrix[:, :2], shift]))
    known = share == 255
    if not known.all():
        vectors[~known] = fill
    return vectors, known.astype(np.uint8)


def warp_sample(
    data: dict[str, Any],
    matrix: np.ndarray,
    shift: tuple[float, float] = (0.0, 0.0),
    interpolation: int = cv2.INTER_LINEAR,
    fill: float = 0.0,
    flow_fill: float = 0.0,
) -> None:
    """Warp images, flow and validity of a sample (``warp_images``, ``warp_flow``)."""
    put(data, "img", warp_images(image_pair(data), matrix, shift, interpolation, fill))
    flow = hwc(data, "gt_flow")
    if flow is not None:
        nearest = interpolation == cv2.INTER_NEAREST
        flow, valid = warp_flow(flow, hwc(data, "gt_valid"), matrix, shift, nearest, flow_fill)
        put(data, "gt_flow", flow)
        put(data, "gt_valid", valid)
