"""Motions of a scene by name: what the background does, and what an object does.

========  ==========================================================================================
chairs    the published generator's: peaked at zero with a heavy tail (:mod:`distributions`)
spread    lengths even up to 48 px, any direction: every level of a pyramid gets its share
small     lengths from 0.1 to 5 px, as many between 0.1 and 0.5 as between 1 and 5
sintel    lengths of a log-normal distribution, so that the pixels have Sintel's shares of speeds:
          58 % under 10 px, 30 % up to 40, 12 % over (:mod:`published`)
driving   the picture expands from a point; near things faster than far ones
========  ==========================================================================================

Lengths are in px of a 384x512 image; ``unit`` multiplies them. Maps are as in :mod:`affine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hat.data.synthesis.affine import random_motion, similarity_about
from hat.data.synthesis.distributions import BACKGROUND_MOTION, OBJECT_MOTION

__all__ = ["MOTIONS", "SceneMotion", "draw_name", "scene_motion"]

SPREAD_REACH = 48.0  # px
SMALL_LENGTHS = (0.1, 5.0)  # px
SINTEL_MEDIAN, SINTEL_SIGMA, SINTEL_LONGEST = 7.0, 1.5, 200.0  # px, of the logarithm, px
LIVELY_FACTOR = 6.0
STILL_OBJECTS = 0.15  # of those without a motion relative to the background
DEGREE = math.pi / 180

Point = tuple[float, float]


@dataclass(frozen=True)
class SceneMotion:
    """The drawn motion of one scene.

    Attributes:
        background: 3x3, from image 1 to image 2.
        of_object: ``of_object(rng, centre)`` is the motion (3x3, absolute) of one object.
    """

    background: np.ndarray
    of_object: Callable[[np.random.Generator, Point], np.ndarray]


def scene_motion(
    name: str, rng: np.random.Generator, size: tuple[int, int], unit: float = 1.0
) -> SceneMotion:
    """Draw the motion of a scene of ``size`` (H, W) from the distribution ``name``.

    Raises:
        ValueError: no distribution has this name.
    """
    if name not in MOTIONS:
        raise ValueError(f"no motions are called {name!r}; expected one of {', '.join(MOTIONS)}")
    return MOTIONS[name](rng, size, unit)


def draw_name(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """One of the names, as often as its weight says; a single name costs no random number."""
    names, shares = list(weights), np.array(list(weights.values()), np.float64)
    return (
        names[0] if len(names) == 1 else names[int(rng.choice(len(names), p=shares / shares.sum()))]
    )


def _chairs(rng: np.random.Generator, size: tuple[int, int], unit: float) -> SceneMotion:
    background = random_motion(rng, BACKGROUND_MOTION, _middle(size), unit)

    def of_object(rng: np.random.Generator, centre: Point) -> np.ndarray:
        return background @ random_motion(rng, OBJECT_MOTION, centre, unit)

    return SceneMotion(background, of_object)


def _similar(
    length: Callable[[np.random.Generator], float], turn: float, zoom: float, lively: float = 0.0
) -> Callable[..., SceneMotion]:
    """Shifts of random lengths in any direction, with turns and zooms of these deviations.

    A share ``lively`` of the objects turns and zooms ``LIVELY_FACTOR`` times as much.
    """

    def draw(rng: np.random.Generator, size: tuple[int, int], unit: float) -> SceneMotion:
        def motion(rng: np.random.Generator, centre: Point, more: float = 1.0) -> np.ndarray:
            direction, reach = rng.uniform(-math.pi, math.pi), length(rng) * unit
            shift = (reach * math.cos(direction), reach * math.sin(direction))
            angle, scale = rng.normal(0, turn * DEGREE), math.exp(more * rng.normal(0, zoom))
            return similarity_about(centre, more * float(angle), scale, shift)

        background = motion(rng, _middle(size))

        def of_object(rng: np.random.Generator, centre: Point) -> np.ndarray:
            kind = rng.random()
            if kind < STILL_OBJECTS:
                return background
            more = LIVELY_FACTOR if lively and rng.random() < lively else 1.0
            own = motion(rng, centre, more)
            return own if kind < 0.5 else background @ own

        return SceneMotion(background, of_object)

    return draw


def _driving(rng: np.random.Generator, size: tuple[int, int], unit: float) -> SceneMotion:
    height, width = size
    focus = (width * float(rng.uniform(0.2, 0.8)), height * float(rng.uniform(0.3, 0.7)))
    turn = float(rng.normal(0, 1.0)) * DEGREE
    shift = (float(rng.normal(0, 6.0)) * unit, float(rng.normal(0, 2.0)) * unit)
    speed = float(rng.uniform(0.0, 0.15)) * (1 if rng.random() < 0.85 else -1)

    def at_nearness(nearness: float) -> np.ndarray:
        return similarity_about(focus, turn, math.exp(speed * nearness), shift)

    def of_object(rng: np.random.Generator, centre: Point) -> np.ndarray:
        moved = at_nearness(float(rng.uniform(0.0, 2.0)))
        if rng.random() < 0.5:
            return moved
        own = (float(rng.normal(0, 10.0)) * unit, float(rng.normal(0, 3.0)) * unit)
        return similarity_about(centre, 0.0, 1.0, own) @ moved

    return SceneMotion(at_nearness(float(rng.uniform(0.2, 1.0))), of_object)


def _middle(size: tuple[int, int]) -> Point:
    return ((size[1] - 1) / 2, (size[0] - 1) / 2)


def _even(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, SPREAD_REACH))


def _short(rng: np.random.Generator) -> float:
    low, high = SMALL_LENGTHS
    return low * (high / low) ** float(rng.random())


def _log_normal(rng: np.random.Generator) -> float:
    return min(SINTEL_MEDIAN * math.exp(SINTEL_SIGMA * rng.standard_normal()), SINTEL_LONGEST)


MOTIONS: dict[str, Callable[..., SceneMotion]] = {
    "chairs": _chairs,
    "spread": _similar(_even, turn=4.0, zoom=0.04),
    "small": _similar(_short, turn=0.6, zoom=0.008),
    "sintel": _similar(_log_normal, turn=0.8, zoom=0.012, lively=0.3),
    "driving": _driving,
}
