"""What a camera and the light do to a pair after it was drawn: the flow stays as it is."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["add_effects"]

SHADE = 0.25  # p of a change of light over one image
BLUR = 0.2  # p of a defocus of both images
STREAK = 0.1  # p of a motion blur of both images
COMPRESSION = 0.1  # p of a JPEG of each image


def add_effects(
    rng: np.random.Generator, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shade, blur and compress two images, uint8 RGB (H, W, 3), each with its probability."""
    shade, blur, streak, compression = rng.random(4)
    if shade < SHADE:
        images = [first, second]
        which = int(rng.integers(2))
        images[which] = _shaded(rng, images[which])
        first, second = images
    if blur < BLUR:
        sigma = float(rng.uniform(0.4, 1.3))
        first, second = (cv2.GaussianBlur(image, (0, 0), sigma) for image in (first, second))
    if streak < STREAK:
        kernel = _line(float(rng.uniform(2, 7)), float(rng.uniform(0, 180)))
        first, second = (cv2.filter2D(image, -1, kernel) for image in (first, second))
    if compression < COMPRESSION:
        quality = int(rng.integers(40, 95))
        first, second = _compressed(first, quality), _compressed(second, quality)
    return first, second


def _shaded(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """The image times a smooth field between about 0.6 and 1.4: a shadow or a lamp."""
    height, width = image.shape[:2]
    field = rng.normal(0, 0.15, (int(rng.integers(2, 6)), int(rng.integers(2, 6))))
    gain = np.exp(
        cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    )
    return cv2.multiply(image, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def _line(length: float, angle: float) -> np.ndarray:
    """A kernel that averages along a line of ``length`` px at ``angle`` degrees."""
    side = 2 * int(length / 2 + 1) + 1
    bar = np.zeros((side, side), np.float32)
    half = length / 2
    bar[side // 2, int(side / 2 - half) : int(side / 2 + half) + 1] = 1
    centre = ((side - 1) / 2, (side - 1) / 2)
    turned = cv2.warpAffine(bar, cv2.getRotationMatrix2D(centre, angle, 1.0), (side, side))
    return turned / turned.sum()


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # what OpenCV has just encoded
    return decoded.astype(np.uint8, copy=False)
