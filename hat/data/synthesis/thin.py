"""Outlines that are thin all over: grids, ladders, frames, wheels, and wires.

Their pixels are seen against what lies behind them; a network that averages over a few pixels gives
them the motion of the background. Lengths are px at size factor 1.
"""

from __future__ import annotations

import math

import numpy as np

from hat.data.synthesis.shapes import Part, smooth_curve, strip

__all__ = ["random_lattice", "random_wires"]

BAR_WIDTHS = (1.5, 10.0)  # px, evenly in the logarithm
WIRE_WIDTHS = (1.0, 6.0)
CIRCLE = 48  # corners of a wheel


def random_lattice(rng: np.random.Generator) -> list[Part]:
    """Draw bars that cross: a grid, a fence, a ladder, a frame with bars, or a wheel."""
    width = _even_in_logarithm(rng, BAR_WIDTHS)
    if rng.random() < 0.2:
        return _wheel(rng, width)
    w, h = rng.uniform(80, 260), rng.uniform(80, 260)
    columns, rows = (int(n) for n in rng.integers(2, 9, 2))
    if rng.random() < 0.3:
        rows = 2  # a ladder or a fence
    lines = [((x, -h / 2), (x, h / 2)) for x in np.linspace(-w / 2, w / 2, columns)]
    lines += [((-w / 2, y), (w / 2, y)) for y in np.linspace(-h / 2, h / 2, rows)]
    lean = rng.normal(0, 0.25)
    parts = []
    for (x0, y0), (x1, y1) in lines:
        ends = np.array([[x0 + lean * y0, y0], [x1 + lean * y1, y1]])
        parts.append(Part(strip(ends, width * float(rng.uniform(0.7, 1.3))), tint=_shade(rng)))
    return parts


def _wheel(rng: np.random.Generator, width: float) -> list[Part]:
    """A ring with spokes."""
    radius, spokes = float(rng.uniform(40, 120)), int(rng.integers(0, 12))
    angles = np.arange(CIRCLE) * (2 * math.pi / CIRCLE)
    circle = np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.4, 1.0)], axis=1)
    parts = [Part(circle * radius), Part(circle * (radius - width), hole=True)]
    for number in range(spokes):
        rim = circle[int(number * CIRCLE / spokes)] * (radius - width / 2)
        parts.append(Part(strip(np.stack([np.zeros(2), rim]), 0.7 * width), tint=_shade(rng)))
    return parts


def random_wires(rng: np.random.Generator) -> list[Part]:
    """Draw 1 to 6 smooth curves, 60 to 300 px long."""
    parts = []
    direction = rng.uniform(-math.pi, math.pi)
    for _ in range(rng.integers(1, 7)):
        length, count = rng.uniform(60, 300), int(rng.integers(2, 6))
        along = np.linspace(-0.5, 0.5, count) * length
        points = np.stack([along, rng.normal(0, 0.12, count) * length], axis=1)
        angle = direction + rng.normal(0, 0.5)
        c, s = math.cos(angle), math.sin(angle)
        curve = smooth_curve(points @ np.array([[c, s], [-s, c]])) + rng.uniform(-40, 40, 2)
        outline = strip(curve, _even_in_logarithm(rng, WIRE_WIDTHS))
        parts.append(Part(outline, tint=_shade(rng)))
    return parts


def _shade(rng: np.random.Generator) -> tuple[float, float, float]:
    grey = float(rng.uniform(0.6, 1.4))
    return grey, grey, grey


def _even_in_logarithm(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return ends[0] * (ends[1] / ends[0]) ** float(rng.random())
