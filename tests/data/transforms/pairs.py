"""An image pair with exact, non-trivial flow, and the proof by warping.

Image 2 is a smooth texture, image 1 the same texture evaluated at ``p + f(p)``, so that
``I1(p) = I2(p + f(p))`` holds exactly and everywhere.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np

from hat.data.transforms.sample import hwc
from hat.data.transforms.to_tensor import ToTensor

HEIGHT, WIDTH = 96, 128


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Grey levels 40..215 with waves of about 15 to 30 px, three different channels."""
    waves = [
        np.sin(x / 3.1 + 0.4) + np.sin(y / 2.7),
        np.sin((x + y) / 4.3) + np.sin((x - 1.3 * y) / 3.9 + 1.0),
        np.sin((2 * x + y) / 7.1) + np.sin(y / 4.9 + 2.0),
    ]
    return np.stack([127.5 + 43.0 * wave for wave in waves], axis=-1)


def flow_field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A turning, growing, waving field of about 3 to 10 px; no component is zero anywhere."""
    dx, dy = x - WIDTH / 2, y - HEIGHT / 2
    u = 6.5 + 0.03 * dx - 0.05 * dy + 0.7 * np.sin(x / 19.0)
    v = -4.5 + 0.04 * dx + 0.02 * dy + 0.5 * np.cos(y / 17.0)
    return np.stack([u, v], axis=-1).astype(np.float32)


def grid(height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return x, y


@functools.cache
def _render(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = grid(height, width)
    flow = flow_field(x, y)
    images = [texture(x + flow[..., 0], y + flow[..., 1]), texture(x, y)]
    return np.rint(np.concatenate(images, axis=2)).astype(np.uint8), flow


def make_sample(layout: str = "hwc", height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    """A new sample as a data set gives it, before or (layout "chw") after ToTensor."""
    pair, flow = (array.copy() for array in _render(height, width))
    data = {
        "img": pair,
        "gt_flow": flow,
        "img_id": 0,
        "img_name": "00001",
        "img_shape": pair.shape,
        "layout": "hwc",
        "color_space": "rgb",
    }
    return ToTensor()(data, np.random.default_rng(0)) if layout == "chw" else data


def arrays(data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (H, W, 6), flow (H, W, 2) and validity (H, W, bool) of a sample."""
    pair, flow, valid = hwc(data, "img"), hwc(data, "gt_flow"), hwc(data, "gt_valid")
    assert pair is not None
    assert flow is not None
    known = np.ones(flow.shape[:2], bool) if valid is None else valid > 0
    return pair, flow, known


def warp_error(pair: np.ndarray, flow: np.ndarray, known: np.ndarray) -> float:
    """Mean |I1(p) - I2(p + f(p))| in grey levels, where f is known and the target has a source.

    The texture never goes below 40, so darker pixels of image 2 are filling.
    """
    height, width = flow.shape[:2]
    x, y = grid(height, width)
    target = np.stack([x, y], axis=-1).astype(np.float32) + flow
    first, second = (np.ascontiguousarray(half) for half in (pair[..., :3], pair[..., 3:]))
    source = cv2.erode((second.min(axis=2) > 30).astype(np.float32), np.ones((3, 3), np.uint8))
    seen = cv2.remap(source, target, None, cv2.INTER_LINEAR, borderValue=0) > 0.999
    use = known & seen
    assert use.mean() > 0.1, "too few pixels left to prove anything"
    warped = cv2.remap(second, target, None, cv2.INTER_LINEAR)
    return float(np.abs(warped.astype(float) - first)[use].mean())
