"""The random distributions of motions and sizes of FlyingChairs' published generator.

With g ~ N(0, 1), a range [a, b] and its centre c = (a + b) / 2, a value is

    c + x (b - a) / 2 / n    where    Sq: x = sign(g) g^2, n = 6
                                      G3: x = g^3,         n = 10
                                      G4: x = sign(g) g^4, n = 15

and c wherever that falls out of [a, b]: most motions are small, a few are large. Constants from
Mayer et al., "What Makes Good Synthetic Training Data for Learning Disparity and Optical Flow
Estimation?" (IJCV 2018) and the generator published with it; ``docs/generator.md`` lists them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = [
    "BACKGROUND_MOTION",
    "OBJECT_MOTION",
    "MotionRanges",
    "PeakedRange",
    "object_size",
]


@dataclass(frozen=True)
class PeakedRange:
    """A range [low, high] with most of its mass near the centre.

    ``power`` and ``divisor`` are the exponent of |g| and n above; ``probability`` is how often the
    value is drawn at all (otherwise it is the centre: no motion).
    """

    low: float
    high: float
    power: int
    divisor: float
    probability: float = 1.0

    def sample(self, rng: np.random.Generator) -> float:
        """One value; always the same number of draws, so that streams stay aligned."""
        drawn, g = rng.random(), rng.standard_normal()
        centre = (self.low + self.high) / 2
        if drawn >= self.probability:
            return centre
        x = math.copysign(abs(g) ** self.power, g)
        value = centre + x * (self.high - self.low) / 2 / self.divisor
        return value if self.low <= value <= self.high else centre


@dataclass(frozen=True)
class MotionRanges:
    """Translation per axis (px), rotation (radians) and scale of one kind of thing."""

    translation: PeakedRange
    rotation: PeakedRange
    scale: PeakedRange


_DEGREE = math.pi / 180

BACKGROUND_MOTION = MotionRanges(
    translation=PeakedRange(-40, 40, power=4, divisor=15),
    rotation=PeakedRange(-10 * _DEGREE, 10 * _DEGREE, power=2, divisor=6, probability=0.3),
    scale=PeakedRange(0.93, 1.07, power=2, divisor=6, probability=0.6),
)
OBJECT_MOTION = MotionRanges(
    translation=PeakedRange(-120, 120, power=3, divisor=10),
    rotation=PeakedRange(-30 * _DEGREE, 30 * _DEGREE, power=2, divisor=6, probability=0.7),
    scale=PeakedRange(0.8, 1.2, power=2, divisor=6, probability=0.7),
)


def object_size(rng: np.random.Generator) -> float:
    """Size factor of an object: N(0.8, 0.8) clamped to [0.2, 2.5]."""
    return float(np.clip(rng.normal(0.8, 0.8), 0.2, 2.5))
