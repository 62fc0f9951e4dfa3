"""Outlines of the flying objects: ellipses, star-like polygons, composites with holes, thin parts.

A shape is a list of parts, drawn in order: each part is a closed outline (N, 2) of float64 points
around the origin and says whether it adds material or cuts a hole. Sizes are those of the published
generator (pixels at size factor 1, see ``docs/generator.md``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Part", "random_shape", "smooth_curve", "strip"]

ELLIPSE_POINTS = 72
CURVE_POINTS = 6  # per spoke of a curved outline
PART_SIZE = (0.2, 0.55)  # of a composite's part, relative to a single ellipse or polygon
SPOKE_JITTER = math.radians(10)


@dataclass(frozen=True)
class Part:
    """One outline (N, 2) and whether it is a hole in what was drawn before it.

    ``tint`` multiplies the red, green and blue of the surface there, 0 to 2; None leaves them.
    """

    outline: np.ndarray
    hole: bool = False
    tint: tuple[float, float, float] | None = None


def random_shape(rng: np.random.Generator) -> list[Part]:
    """Draw one shape: 12 % ellipses, 33 % polygons, 55 % composites.

    A fifth of all shapes carry thin parts besides (legs, rods, wires). The proportions and the size
    of a composite's parts are not published; these make the flow statistics match.
    """
    kind, thin = rng.random(), rng.random() < 0.2
    if kind < 0.12:
        parts = [Part(_ellipse(rng))]
    elif kind < 0.45:
        parts = [Part(_polygon(rng))]
    else:
        parts = _composite(rng)
    if thin:
        parts = [*(Part(_bar(rng)) for _ in range(rng.integers(1, 6))), *parts]
    return parts


def strip(points: np.ndarray, width: float) -> np.ndarray:
    """The outline (2 N, 2) of a band of ``width`` along an open path (N, 2)."""
    steps = np.diff(points, axis=0)
    tangents = np.concatenate([steps[:1], steps[1:] + steps[:-1], steps[-1:]])
    length = np.maximum(np.hypot(tangents[:, 0], tangents[:, 1]), 1e-9)
    normals = np.stack([-tangents[:, 1], tangents[:, 0]], axis=1) / length[:, None]
    across = normals * (width / 2)
    return np.concatenate([points + across, (points - across)[::-1]])


def smooth_curve(points: np.ndarray, per_span: int = CURVE_POINTS) -> np.ndarray:
    """Open Catmull-Rom curve through points (N, D), its ends included."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i][:, None] for i in range(4))
    t = (np.arange(per_span) / per_span)[None, :, None]
    curve = _catmull_rom(p0, p1, p2, p3, t).reshape(-1, points.shape[1])
    return np.concatenate([curve, points[-1:]])


def _ellipse(rng: np.random.Generator) -> np.ndarray:
    angles = np.linspace(0, 2 * math.pi, ELLIPSE_POINTS, endpoint=False)
    axes = 50 * rng.uniform(0.5, 2.0, 2)
    return np.stack([axes[0] * np.cos(angles), axes[1] * np.sin(angles)], axis=1)


def _polygon(rng: np.random.Generator) -> np.ndarray:
    """3 to 20 spokes of random length; a third of the outlines are smooth curves."""
    spokes = int(rng.integers(3, 21))
    angles = np.arange(spokes) * (2 * math.pi / spokes) + rng.normal(0, SPOKE_JITTER, spokes)
    radii = rng.uniform(20, 80, spokes)
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    points[:, 0] *= rng.uniform(0.5, 2.0)
    return _closed_spline(points) if rng.random() < 1 / 3 else points


def _closed_spline(points: np.ndarray) -> np.ndarray:
    """Closed Catmull-Rom curve through ``points``."""
    p0, p1, p2, p3 = (np.roll(points, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    t = (np.arange(CURVE_POINTS) / CURVE_POINTS)[None, :, None]
    return _catmull_rom(p0, p1, p2, p3, t).reshape(-1, 2)


def _catmull_rom(
    p0: np.ndarray, p1: np.ndarray, p2: np.ndarray, p3: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """From ``p1`` (t = 0) to ``p2`` (t = 1)."""
    return p1 + t / 2 * (
        (p2 - p0) + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * p1 - p0 - 3 * p2 + p3))
    )


def _bar(rng: np.random.Generator) -> np.ndarray:
    """A thin straight part from near the origin outwards."""
    length, width = rng.uniform(60, 160), rng.uniform(2, 8)
    box = np.array([[0, -0.5], [1, -0.5], [1, 0.5], [0, 0.5]]) * [length, width]
    box[:, 0] -= rng.uniform(0, 0.5) * length
    return _turn(box, rng.uniform(-math.pi, math.pi)) + rng.uniform(-30, 30, 2)


def _composite(rng: np.random.Generator) -> list[Part]:
    """1 to 7 ellipses and polygons side by side, up to half of them with a hole."""
    parts: list[Part] = []
    for _ in range(rng.integers(1, 8)):
        outline = _ellipse(rng) if rng.random() < 0.5 else _polygon(rng)
        outline = _turn(outline * rng.uniform(*PART_SIZE), rng.uniform(-math.pi, math.pi))
        centre = rng.uniform(-50, 50, 2)
        parts.append(Part(outline + centre))
        if rng.random() < 0.5:
            parts.append(Part(outline * rng.uniform(0.3, 0.75) + centre, hole=True))
    return parts


def _turn(points: np.ndarray, angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return points @ np.array([[c, s], [-s, c]])
