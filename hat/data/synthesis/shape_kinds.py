"""Kinds of objects by name.

=========  =========================================================================================
published  ellipses, polygons and composites with holes (:mod:`shapes`)
furniture  chairs, tables, benches, lamps: plain faces on thin legs, mostly upright
           (:mod:`furniture`)
lattice    grids, ladders, fences and wheels of thin bars (:mod:`thin`)
wires      smooth curves 1 to 6 px wide (:mod:`thin`)
=========  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hat.data.synthesis.furniture import random_furniture
from hat.data.synthesis.shapes import Part, random_shape
from hat.data.synthesis.thin import random_lattice, random_wires

__all__ = ["PUBLISHED_SHAPES", "SHAPES", "ShapeKind"]


@dataclass(frozen=True)
class ShapeKind:
    """``draw(rng)`` gives outlines around the origin; ``turn`` is how far they may be turned.

    1 is any direction, 0 always upright.
    """

    draw: Callable[[np.random.Generator], list[Part]]
    turn: float = 1.0


SHAPES = {
    "published": ShapeKind(random_shape),
    "furniture": ShapeKind(random_furniture, turn=0.06),
    "lattice": ShapeKind(random_lattice),
    "wires": ShapeKind(random_wires),
}
PUBLISHED_SHAPES = {"published": 1.0}
