"""Random affine augmentation of an image pair and its flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from torchvision.transforms import InterpolationMode

from hat.data.transforms.sample import image_pair, probability, put
from hat.data.transforms.warp import (
    about_centre,
    add_to_flow,
    ensure_valid,
    shift_second,
    warp_sample,
)
from hat.registry import OBJECT_REGISTRY

_OPENCV_FLAG = {
    InterpolationMode.NEAREST: cv2.INTER_NEAREST,
    InterpolationMode.BILINEAR: cv2.INTER_LINEAR,
    InterpolationMode.BICUBIC: cv2.INTER_CUBIC,
    InterpolationMode.LANCZOS: cv2.INTER_LANCZOS4,
}


@OBJECT_REGISTRY.register
class SegRandomAffine:
    """Two independent branches: a translation of image 2, and a turn with zoom of everything.

    - With probability ``translate_p`` image 2 alone moves by whole pixels (tx, ty), which are
      added to the flow everywhere: ``I1(p) = I2(p + f)`` gives ``I2'(q) = I2(q - t)`` and
      ``f' = f + t``. Image 1 stays, so every flow vector stays known.
    - With probability ``scale_p`` both images and the flow map turn by a random angle and zoom by
      a random factor about the image centre, and the vectors turn and grow with them. Pixels
      without a source become invalid in ``gt_valid``.

    Args:
        degrees: the angle is U(-degrees, degrees), or U(*degrees) for a pair; clockwise.
        translate: largest translation as fractions of width and height.
        scale: (least, greatest) zoom factor, drawn uniformly; None for no zoom.
        interpolation: torchvision's ``InterpolationMode`` for the turn and zoom of the images;
            the flow map is interpolated bilinearly, or by NEAREST with the images.
        label_fill_value: flow (both components) where it is invalid.
        translate_p: probability of the translation.
        scale_p: probability of the turn and zoom.
        fill: grey level of image pixels without a source.

    Raises:
        ValueError: values out of range, or ``degrees`` that never act because ``scale_p`` is 0.
    """

    def __init__(
        self,
        degrees: float | Sequence[float] = 0.0,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        label_fill_value: float = 0.0,
        translate_p: float = 0.5,
        scale_p: float = 0.5,
        fill: float = 0.0,
    ) -> None:
        if isinstance(degrees, int | float):
            if degrees < 0:
                raise ValueError(f"degrees is one number >= 0 or (least, greatest), got {degrees}")
            degrees = (-float(degrees), float(degrees))
        self.degrees = _range(degrees, "degrees", -360.0, 360.0)
        self.translate = (0.0, 0.0) if translate is None else (translate[0], translate[-1])
        if (translate is not None and len(translate) != 2) or not all(
            0.0 <= part <= 1.0 for part in self.translate
        ):
            raise ValueError(
                f"translate is two fractions of width and height in [0, 1], found {translate!r}"
            )
        self.scale = _range((1.0, 1.0) if scale is None else scale, "scale", 1e-3, 1e3)
        if interpolation not in _OPENCV_FLAG:
            raise ValueError(
                f"interpolation is one of {[str(mode) for mode in _OPENCV_FLAG]}, "
                f"found {interpolation!r}"
            )
        self.interpolation = interpolation
        self.label_fill_value = float(label_fill_value)
        self.translate_p = probability(translate_p, "translate_p")
        self.scale_p = probability(scale_p, "scale_p")
        if self.scale_p == 0 and self.degrees != (0.0, 0.0):
            raise ValueError(
                f"degrees={self.degrees} never acts: turning belongs to the branch of probability "
                f"scale_p, which is 0; give scale_p > 0 or degrees=0"
            )
        if not 0 <= fill <= 255:
            raise ValueError(f"fill is a grey level in [0, 255], found {fill!r}")
        self.fill = float(fill)

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        pair = image_pair(data)
        height, width = pair.shape[:2]
        dx = dy = 0
        if rng.random() < self.translate_p:
            # whole pixels, as torchvision's RandomAffine has them: image 2 is not blurred
            dx = round(rng.uniform(-1, 1) * self.translate[0] * width)
            dy = round(rng.uniform(-1, 1) * self.translate[1] * height)
        angle, zoom = 0.0, 1.0
        if rng.random() < self.scale_p:
            angle, zoom = rng.uniform(*self.degrees), rng.uniform(*self.scale)
        if self.scale_p > 0:
            ensure_valid(data)
        if (angle, zoom) != (0.0, 1.0):
            matrix = about_centre(height, width, angle, zoom)
            flag = _OPENCV_FLAG[self.interpolation]
            warp_sample(data, matrix, (dx, dy), flag, self.fill, self.label_fill_value)
        elif dx or dy:
            put(data, "img", shift_second(pair, dx, dy, self.fill))
            add_to_flow(data, dx, dy)
        return data


def _range(pair: Sequence[float], name: str, least: float, most: float) -> tuple[float, float]:
    if len(pair) != 2 or not least <= pair[0] <= pair[1] <= most:
        raise ValueError(
            f"{name} is (least, greatest) within [{least:g}, {most:g}], found {tuple(pair)!r}"
        )
    return float(pair[0]), float(pair[1])
