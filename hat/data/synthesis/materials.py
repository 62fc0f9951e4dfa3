"""What a surface is made of: a texture as it is, or a plain colour with hardly any texture.

Where parts have tints, these are painted on the surface itself, in its own coordinates, so that
they move with it: faces of furniture in their own light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hat.data.synthesis.shapes import Part

__all__ = ["LARGEST_CANVAS", "Material", "painted", "random_plain_material", "tinted"]

DARK_SHARE = 0.5  # of plain surfaces, as chairs in front of night scenes
FLAT_SHARE = 0.7  # of plain surfaces, without visible texture
LARGEST_CANVAS = 2048  # px
UNIT_TINT = 127.0  # grey level that stands for a factor of 1
BAND_LIMIT_SIGMA = 0.6  # px
MARGIN = 5  # px, width of the rim of a tint, half outside: antialiasing mixes in what is there
FRACTION_BITS = 4


@dataclass(frozen=True)
class Material:
    """A colour (RGB, 0 to 255) and the share of the texture's contrast that is left on it."""

    colour: tuple[float, float, float]
    contrast: float


def random_plain_material(rng: np.random.Generator) -> Material:
    """Black, grey, or a colour; half of them dark."""
    level = rng.uniform(2, 45) if rng.random() < DARK_SHARE else rng.uniform(25, 235)
    chroma = rng.uniform(0.3, 0.9) if rng.random() < 0.3 else rng.uniform(0.0, 0.25)
    red, green, blue = np.clip(level * (1 + chroma * rng.normal(0, 0.6, 3)), 0, 255).tolist()
    contrast = rng.uniform(0, 0.08) if rng.random() < FLAT_SHARE else rng.uniform(0.08, 0.4)
    return Material((red, green, blue), float(contrast))


def tinted(parts: Sequence[Part]) -> bool:
    """Has any part a colour of its own?"""
    return any(part.tint is not None for part in parts)


def painted(
    texture: np.ndarray,
    rng: np.random.Generator,
    material: Material | None,
    parts: Sequence[Part],
    image_to_texture: np.ndarray,
    side: int,
) -> np.ndarray:
    """The texture (h, w, 3) in the colours of ``material`` and under the tints of ``parts``.

    Args:
        texture: uint8 RGB.
        rng: of the light that falls on a tinted object unevenly.
        material: None keeps the texture's colours.
        parts: outlines in the image; those with a ``tint`` colour the texture below them.
        image_to_texture: 3x3, to texture pixels with the origin in the texture's middle.
        side: px of the texture, if parts are painted on it; it is mirrored to this size.
    """
    if material is not None:
        texture = _recoloured(texture, material)
    if not tinted(parts):
        return texture
    h, w = texture.shape[:2]
    if (h, w) != (side, side):
        top, left = max(0, side - h) // 2, max(0, side - w) // 2
        bottom, right = max(0, side - h) - top, max(0, side - w) - left
        texture = cv2.copyMakeBorder(texture, top, bottom, left, right, cv2.BORDER_REFLECT_101)
    tints = _tint_map(rng, parts, image_to_texture, texture.shape[:2])
    return cv2.multiply(texture, tints, scale=1 / UNIT_TINT)


def _recoloured(texture: np.ndarray, material: Material) -> np.ndarray:
    step = max(1, min(texture.shape[:2]) // 8)
    mean = texture[::step, ::step].reshape(-1, 3).mean(axis=0)
    levels = (np.arange(256.0)[:, None] - mean) * material.contrast + material.colour
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cv2.LUT(texture, table[None])


def _tint_map(
    rng: np.random.Generator,
    parts: Sequence[Part],
    image_to_texture: np.ndarray,
    size: Sequence[int],
) -> np.ndarray:
    """uint8 (H, W, 3), ``UNIT_TINT`` times the factor of the part that lies on top."""
    h, w = size
    tints: np.ndarray = np.full((h, w, 3), UNIT_TINT, np.uint8)
    middle = np.array([(w - 1) / 2, (h - 1) / 2])
    drawn = []
    for part in parts:
        if part.tint is not None:
            points = part.outline @ image_to_texture[:2, :2].T + image_to_texture[:2, 2] + middle
            fixed = np.rint(points * (1 << FRACTION_BITS)).astype(np.int32)
            drawn.append((fixed, [UNIT_TINT * channel for channel in part.tint]))
    # First the surroundings of all, then their insides: a thin part in front of a face stays thin.
    for fixed, colour in drawn:
        cv2.polylines(tints, [fixed], True, colour, MARGIN, shift=FRACTION_BITS)
    for fixed, colour in drawn:
        cv2.fillPoly(tints, [fixed], colour, cv2.LINE_AA, shift=FRACTION_BITS)
    light = np.exp(rng.normal(0, rng.uniform(0, 0.3), (3, 3)).astype(np.float32))
    field = cv2.resize(light, (w, h), interpolation=cv2.INTER_LINEAR)
    tints = cv2.multiply(tints, cv2.merge([field] * 3), dtype=cv2.CV_8U)
    return cv2.GaussianBlur(tints, (0, 0), BAND_LIMIT_SIGMA)
