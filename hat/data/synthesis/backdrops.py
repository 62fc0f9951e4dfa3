"""Layers between the background and the objects: ridges, walls with windows, large soft shapes.

They move with the background, faster the nearer they are: a camera that moves sees parallax. They
take up a good part of the picture, unlike objects, and wear textures of backgrounds.
"""

from __future__ import annotations

import math

import numpy as np

from hat.data.synthesis.affine import similarity_about
from hat.data.synthesis.shapes import Part, smooth_curve

__all__ = ["nearer", "random_backdrop"]

RIDGE_OCTAVES = 5
TURNS = (0.0, 0.0, 0.0, math.pi / 2, -math.pi / 2, math.pi)  # of a ridge: mostly from below


def nearer(motion: np.ndarray, middle: tuple[float, float], nearness: float) -> np.ndarray:
    """A similarity's motion (3x3) as it is at ``nearness`` times the inverse distance.

    Shift and growth about ``middle`` change with the distance, the turn does not.
    """
    scale = math.sqrt(float(np.linalg.det(motion[:2, :2])))
    angle = math.atan2(motion[1, 0], motion[0, 0])
    shift = motion[:2] @ (*middle, 1.0) - middle
    return similarity_about(
        middle, angle, scale**nearness, (float(shift[0]) * nearness, float(shift[1]) * nearness)
    )


def random_backdrop(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Part, ...]:
    """Outlines in an image of ``size`` (H, W), px; they go on beyond its border."""
    kind = rng.random()
    if kind < 0.6:
        return (_ridge(rng, size),)
    if kind < 0.8:
        return _wall(rng, size)
    return tuple(_blob(rng, size) for _ in range(rng.integers(1, 3)))


def _ridge(rng: np.random.Generator, size: tuple[int, int]) -> Part:
    """All that lies below a rough line across the picture: a hill, a skyline, the ground."""
    height, width = size
    reach = 2.0 * max(size)
    count = 1 << RIDGE_OCTAVES
    along = np.linspace(-reach, reach, count + 1)
    line = np.zeros(count + 1)
    roughness, slope = rng.uniform(0.02, 0.3) * height, rng.uniform(0.35, 0.7)
    for octave in range(2, RIDGE_OCTAVES + 1):
        knots = rng.normal(0, roughness * slope ** (octave - 2), (1 << octave) + 1)
        line += np.interp(along, np.linspace(-reach, reach, len(knots)), knots)
    points = np.stack([along, line], axis=1)
    if rng.random() < 0.3:  # house tops instead of hills
        points = np.repeat(points, 2, axis=0)
        points[1:, 1] = points[:-1, 1]
    elif rng.random() < 0.5:
        points = smooth_curve(points)
    ends = np.array([[points[-1, 0], 2 * reach], [points[0, 0], 2 * reach]])
    outline = np.concatenate([points, ends])
    outline[:, 1] += rng.uniform(-0.1, 0.4) * height
    angle = float(rng.choice(TURNS)) + rng.normal(0, 0.15)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return Part(_turned(outline, angle) + middle)


def _wall(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Part, ...]:
    """A surface over the whole picture with rows of windows."""
    height, width = size
    reach = 2.0 * max(size)
    middle, angle = np.array([(width - 1) / 2, (height - 1) / 2]), rng.normal(0, 0.2)
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    parts = [Part(_turned(square * reach, angle) + middle)]
    pitch = rng.uniform(0.25, 0.7, 2) * (width, height)
    window = square * pitch * rng.uniform(0.2, 0.45, 2)
    offset = rng.uniform(-0.5, 0.5, 2) * pitch
    columns, rows = np.ceil(0.75 * max(size) / pitch).astype(int).tolist()
    for i in range(-columns, columns + 1):
        for j in range(-rows, rows + 1):
            if rng.random() < 0.8:
                at = offset + (i, j) * pitch
                parts.append(Part(_turned(window + at, angle) + middle, hole=True))
    return tuple(parts)


def _blob(rng: np.random.Generator, size: tuple[int, int]) -> Part:
    """A large round shape with a wavy border."""
    height, width = size
    angles = np.arange(10) * (2 * math.pi / 10)
    radii = rng.uniform(0.25, 0.6) * height * np.exp(rng.normal(0, 0.25, 10))
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    curve = smooth_curve(np.concatenate([points, points[:1]]))[:-1]
    centre = rng.uniform(0, 1, 2) * (width, height)
    return Part(curve + centre)


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return points @ np.array([[c, s], [-s, c]])
