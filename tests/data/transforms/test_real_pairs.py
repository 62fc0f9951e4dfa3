"""The tutorial's transforms on real FlyingChairs pairs keep images and flow together."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from hat.data.packers.flyingchairs_layout import read_pair
from hat.data.transforms import FlowRandomAffineScale, RandomCrop, RandomFlip, SegRandomAffine
from tests.data.transforms.pairs import arrays, grid
from tests.shared_data import shared_data

CHAIN = [
    RandomCrop((256, 448)),
    RandomFlip(0.5, 0.5),
    SegRandomAffine((-5, 5), (0.05, 0.05), (0.9, 1.1), translate_p=0.5, scale_p=0.5),
    FlowRandomAffineScale(0.5, 0.05),
]


def real_sample(name: str) -> dict[str, Any]:
    folder = shared_data("FlyingChairs", "FlyingChairs_release", "data")
    pair, flow = read_pair(folder, name)
    return {"img": pair, "gt_flow": flow, "img_name": name, "layout": "hwc"}


def median_error(data: dict[str, Any], sign: float = 1.0) -> float:
    """Median |I1(p) - I2(p + f)| in grey levels: robust to occlusion.

    Over known, textured pixels whose target is in image 2.
    """
    pair, flow, known = arrays(data)
    height, width = known.shape
    target = np.stack(grid(height, width), axis=-1).astype(np.float32) + np.float32(sign) * flow
    first, second = (np.ascontiguousarray(half) for half in (pair[..., :3], pair[..., 3:]))
    source = (second.max(axis=2) > 0).astype(np.float32)
    seen = cv2.remap(source, target, None, cv2.INTER_LINEAR, borderValue=0) > 0.999
    warped = cv2.remap(second, target, None, cv2.INTER_LINEAR)
    slope = np.abs(cv2.Laplacian(first, cv2.CV_32F)).max(axis=2) > 20
    return float(np.median(np.abs(warped.astype(float) - first)[known & seen & slope]))


@pytest.mark.parametrize("name", ["00001", "00002", "00003"])
def test_warping_error_stays_near_that_of_the_original(name: str) -> None:
    original = median_error(real_sample(name))
    for seed in range(5):
        rng, data = np.random.default_rng((0, 0, seed)), real_sample(name)
        for transform in CHAIN:
            data = transform(data, rng)
        error = median_error(data)
        assert error <= 1.5 * original + 1.0, "interpolation of fine texture costs a little"
        assert median_error(data, sign=-1.0) > 2 * error
