"""Changes of size: a random zoom at constant size, and a resize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from hat.data.transforms.sample import MASKS, hwc, image_pair, probability, put, size_pair
from hat.data.transforms.warp import (
    about_centre,
    ensure_valid,
    join_pair,
    split_pair,
    warp_sample,
)
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class FlowRandomAffineScale:
    """Zoom both images and the flow map about the image centre by one factor U(1 - r, 1 + r).

    The size stays; the flow is multiplied by the factor. Where the factor is below 1 a border
    without a source appears: black in the images, zero and invalid in the flow.

    Args:
        scale_p: probability of a zoom.
        scale_r: half width of the range of factors, in [0, 1).
    """

    def __init__(self, scale_p: float = 0.5, scale_r: float = 0.05) -> None:
        self.scale_p = probability(scale_p, "scale_p")
        if not 0.0 <= scale_r < 1.0:
            raise ValueError(f"scale_r is in [0, 1), found {scale_r!r}")
        self.scale_r = float(scale_r)

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        ensure_valid(data)
        if rng.random() < self.scale_p:
            zoom = rng.uniform(1.0 - self.scale_r, 1.0 + self.scale_r)
            height, width = image_pair(data).shape[:2]
            warp_sample(data, about_centre(height, width, 0.0, zoom))
        return data


@OBJECT_REGISTRY.register
class Resize:
    """Resize images, flow and masks to ``size``; u is scaled with the width, v with the height.

    Pixel areas correspond (corner to corner, as ``align_corners=False``); averaging over areas
    when both sides shrink, bilinear otherwise. With ``gt_valid``, the flow is the average of the
    valid pixels alone, and valid where they have at least half of the weight, or, in an image that
    shrinks, where they are at least half a pixel: sparse ground truth stays. Other masks take the
    nearest pixel.

    Args:
        size: (height, width) in pixels, or one number for a square.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = size_pair(size)

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        pair = image_pair(data)
        height, width = pair.shape[:2]
        size = (self.size[1], self.size[0])
        if (height, width) == self.size:
            return data
        shrinks = self.size[0] <= height and self.size[1] <= width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        if shrinks:  # image by image: OpenCV averages areas of at most four channels
            halves = [cv2.resize(half, size, interpolation=how) for half in split_pair(pair)]
            put(data, "img", join_pair(halves))
        else:
            put(data, "img", cv2.resize(np.ascontiguousarray(pair), size, interpolation=how))
        for key in MASKS[1:]:
            mask = hwc(data, key)
            if mask is not None:
                put(data, key, cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT))
        flow, valid = hwc(data, "gt_flow"), hwc(data, "gt_valid")
        if flow is None:
            return data
        ratio = np.diag([self.size[1] / width, self.size[0] / height])
        if valid is None:
            put(data, "gt_flow", cv2.transform(cv2.resize(flow, size, interpolation=how), ratio))
            return data
        known = valid > 0
        share = cv2.resize(known.astype(np.float32), size, interpolation=how)
        total = cv2.resize(np.where(known[..., None], flow, np.float32(0)), size, interpolation=how)
        pixel = self.size[0] * self.size[1] / (height * width)  # its weight, if the image shrinks
        keep = share >= 0.5 * min(1.0, pixel if shrinks else 1.0)
        mean = total / np.where(keep, share, np.float32(1))[..., None]
        put(data, "gt_flow", cv2.transform(np.where(keep[..., None], mean, np.float32(0)), ratio))
        put(data, "gt_valid", keep.astype(np.uint8))
        return data
