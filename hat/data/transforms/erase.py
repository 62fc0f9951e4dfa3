"""Boxes of image 2 that show nothing: the flow there has to come from what surrounds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from hat.data.transforms.sample import image_pair, probability, put
from hat.data.transforms.warp import split_pair
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class RandomErase:
    """Fill boxes of image 2 with its mean colour; image 1, flow and validity stay.

    An occlusion as any other: the flow at a pixel of image 1 is still where its surface went
    (Teed and Deng, "RAFT", ECCV 2020). Stands before any change of the colour space.

    Args:
        p: probability that anything is erased.
        count: (fewest, most) boxes.
        size: (least, greatest) height and width of a box in pixels, each drawn by itself.
    """

    def __init__(
        self, p: float = 0.5, count: Sequence[int] = (1, 3), size: Sequence[int] = (50, 100)
    ) -> None:
        self.p = probability(p, "p")
        self.count = _range(count, "count")
        self.size = _range(size, "size")

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        if rng.random() >= self.p:
            return data
        pair = image_pair(data).copy()
        height, width = pair.shape[:2]
        mean = np.rint(cv2.mean(split_pair(pair)[1])[:3])
        for _ in range(rng.integers(self.count[0], self.count[1] + 1)):
            top, left = int(rng.integers(height)), int(rng.integers(width))
            rows, columns = rng.integers(self.size[0], self.size[1] + 1, 2).tolist()
            pair[top : top + rows, left : left + columns, 3:] = mean
        put(data, "img", pair)
        return data


def _range(pair: Sequence[int], name: str) -> tuple[int, int]:
    if len(pair) != 2 or any(int(n) != n for n in pair) or not 1 <= pair[0] <= pair[1]:
        raise ValueError(f"{name} is (least, greatest), whole numbers from 1, found {pair!r}")
    return int(pair[0]), int(pair[1])
