"""Light that changes over both images of a pair: night, a moving shadow, drifting fog."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hat.data.synthesis.affine import similarity_about

__all__ = ["change_light"]

COARSE = 4  # px of the image in one of the soft fields of light
CORNERS = 9  # of a shadow's outline


def change_light(
    rng: np.random.Generator,
    first: np.ndarray,
    second: np.ndarray,
    dark: float,
    cloud: float,
    fog: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Darken, shade and veil two images uint8 RGB (H, W, 3), with these probabilities."""
    drawn = rng.random(3) < (dark, cloud, fog)
    images = [first, second]
    if drawn[0]:
        images = _at_night(rng, images)
    if drawn[1]:
        images = _shadowed(rng, images)
    if drawn[2]:
        images = _veiled(rng, images)
    return images[0], images[1]


def _at_night(rng: np.random.Generator, images: list[np.ndarray]) -> list[np.ndarray]:
    """Most levels near black, few bright: a power of the brightness, by table."""
    power, gain = rng.uniform(1.3, 3.5), rng.uniform(0.5, 1.1)
    levels = 255 * gain * (np.arange(256) / 255) ** power
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return [cv2.LUT(image, table) for image in images]


def _shadowed(rng: np.random.Generator, images: list[np.ndarray]) -> list[np.ndarray]:
    """A soft-edged shadow with a motion of its own."""
    height, width = images[0].shape[:2]
    angles = np.arange(CORNERS) * (2 * math.pi / CORNERS)
    radii = rng.uniform(0.15, 0.7) * height * rng.uniform(0.5, 1.2, CORNERS)
    centre = rng.uniform(0, 1, 2) * (width, height)
    outline = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1) + centre
    step = _drift(rng, (float(centre[0]), float(centre[1])))
    light = round(255 * float(rng.uniform(0.35, 0.85)))
    softness = float(rng.uniform(1, 20)) / COARSE
    shaded = []
    for image, points in zip(
        images, (outline, outline @ step[:2, :2].T + step[:2, 2]), strict=True
    ):
        gain = np.full((-(-height // COARSE), -(-width // COARSE)), 255, np.uint8)
        fixed = np.rint(points / COARSE * 16).astype(np.int32)
        cv2.fillPoly(gain, [fixed], light, cv2.LINE_AA, shift=4)
        gain = cv2.GaussianBlur(gain, (0, 0), softness)
        gain = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
        shaded.append(cv2.multiply(image, cv2.merge([gain] * 3), scale=1 / 255))
    return shaded


def _veiled(rng: np.random.Generator, images: list[np.ndarray]) -> list[np.ndarray]:
    """Patches of fog of one grey that drift over the pictures."""
    height, width = images[0].shape[:2]
    h, w = -(-height // COARSE), -(-width // COARSE)
    field = np.zeros((h, w), np.float32)
    for cells in (2, 4, 8):
        knots = rng.normal(0, 1 / math.sqrt(cells), (cells + 1, cells + 1)).astype(np.float32)
        field += cv2.resize(knots, (w, h), interpolation=cv2.INTER_CUBIC)
    density = np.clip(field * rng.uniform(0.15, 0.4) + rng.uniform(-0.1, 0.3), 0, 0.6)
    step = _drift(rng, (width / 2, height / 2))
    step[:2, 2] /= COARSE
    moved = cv2.warpAffine(density, step[:2], (w, h), borderMode=cv2.BORDER_REFLECT_101)
    grey = np.full((height, width, 3), rng.uniform(120, 240), np.uint8)
    veiled = []
    for image, share in zip(images, (density, moved), strict=True):
        weight = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        veiled.append(cv2.blendLinear(grey, image, weight, 1 - weight))
    return veiled


def _drift(rng: np.random.Generator, centre: tuple[float, float]) -> np.ndarray:
    """The motion of a shadow or a cloud between the frames, 3x3, px."""
    x, y = rng.normal(0, 12, 2).tolist()
    scale = math.exp(rng.normal(0, 0.05))
    return similarity_about(centre, float(rng.normal(0, 0.05)), scale, (x, y))
