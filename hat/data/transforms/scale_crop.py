"""A window at a random scale, stretch and place, resized to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hat.data.transforms.crop_flip import crop
from hat.data.transforms.sample import image_pair, probability, size_pair
from hat.data.transforms.zoom import Resize
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class RandomScaleCrop:
    """Scale and stretch both images and the flow at random, and crop to ``size``.

    With probability ``p`` both sides are scaled by one factor from ``scale``, drawn evenly in its
    logarithm, and, with probability ``stretch_p`` of these, each side by another from
    ``2 ** U(-stretch, stretch)`` (Teed and Deng, "RAFT", ECCV 2020). The window that becomes the
    crop is cut out first, in whole pixels, and resized as by :class:`Resize`, u and v with the
    exact ratio of its sides. So the actual factor is that of a window within half a pixel. If a
    factor is too small for the window to fit, it is raised: an image smaller than ``size`` is
    enlarged.

    Args:
        size: (height, width) of the result in pixels, or one number for a square.
        scale: (least, greatest) factor.
        stretch: largest exponent of two by which a side is stretched.
        p: probability of a scale other than 1.
        stretch_p: probability that a scaled sample is stretched.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (2**-0.2, 2.0),
        stretch: float = 0.2,
        p: float = 0.8,
        stretch_p: float = 0.8,
    ) -> None:
        self.size = size_pair(size)
        if len(scale) != 2 or not 1 / 16 <= scale[0] <= scale[1] <= 16:
            raise ValueError(
                f"scale is (least, greatest) factor within [1/16, 16], found {scale!r}"
            )
        if not 0 <= stretch <= 2:
            raise ValueError(f"stretch is an exponent of two in [0, 2], found {stretch!r}")
        self.exponents = math.log2(scale[0]), math.log2(scale[1])
        self.stretch = float(stretch)
        self.p, self.stretch_p = probability(p, "p"), probability(stretch_p, "stretch_p")
        self.resize = Resize(self.size)

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        exponents = np.zeros(2)
        if rng.random() < self.p:
            exponents += rng.uniform(*self.exponents)
            if rng.random() < self.stretch_p:
                exponents += rng.uniform(-self.stretch, self.stretch, 2)
        height, width = image_pair(data).shape[:2]
        rows, columns = np.rint(self.size / 2**exponents).astype(int).tolist()
        rows, columns = min(max(rows, 1), height), min(max(columns, 1), width)
        top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        return self.resize(crop(data, top, left, rows, columns), rng)
