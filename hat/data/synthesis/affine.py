"""Affine maps of the plane: 3x3 float64, acting on (x, y, 1); pixel centres are integers."""

from __future__ import annotations

import math

import numpy as np

from hat.data.synthesis.distributions import MotionRanges

__all__ = ["random_motion", "scaling", "similarity_about", "translation"]


def translation(x: float, y: float) -> np.ndarray:
    """The map p -> p + (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(factor: float) -> np.ndarray:
    """The map p -> factor * p."""
    return np.diag([factor, factor, 1.0])


def similarity_about(
    centre: tuple[float, float], angle: float, scale: float, shift: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Turn by ``angle`` (radians) and scale about ``centre``, then move by ``shift`` (px)."""
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    (x, y), (dx, dy) = centre, shift
    return np.array([[c, -s, x - c * x + s * y + dx], [s, c, y - s * x - c * y + dy], [0, 0, 1.0]])


def random_motion(
    rng: np.random.Generator, ranges: MotionRanges, centre: tuple[float, float], unit: float
) -> np.ndarray:
    """A motion about ``centre`` drawn from ``ranges``; translations are multiplied by ``unit``."""
    shift = (ranges.translation.sample(rng) * unit, ranges.translation.sample(rng) * unit)
    angle = ranges.rotation.sample(rng)
    return similarity_about(centre, angle, ranges.scale.sample(rng), shift)
