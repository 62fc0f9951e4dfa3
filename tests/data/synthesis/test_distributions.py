from __future__ import annotations

import math

import numpy as np
import pytest

from hat.data.synthesis.affine import random_motion, similarity_about
from hat.data.synthesis.distributions import (
    BACKGROUND_MOTION,
    OBJECT_MOTION,
    PeakedRange,
    object_size,
)


class FixedGaussian:
    """A generator whose Gaussian is known and whose coin always says yes."""

    def __init__(self, g: float) -> None:
        self.g = g

    def random(self) -> float:
        return 0.0

    def standard_normal(self) -> float:
        return self.g


@pytest.mark.parametrize(
    ("ranges", "g", "expected"),
    [
        (PeakedRange(-40, 40, 4, 15), 1.0, 40 / 15),
        (PeakedRange(-40, 40, 4, 15), -1.5, -(1.5**4) * 40 / 15),
        (PeakedRange(-40, 40, 4, 15), 2.0, 0.0),  # 16 / 15 of the range: back to the centre
        (PeakedRange(-120, 120, 3, 10), -2.0, -96.0),
        (PeakedRange(0.93, 1.07, 2, 6), 1.2, 1 + 1.44 * 0.07 / 6),
        (PeakedRange(0.8, 1.2, 2, 6), -2.5, 1.0),
    ],
)
def test_a_value_follows_the_published_formula(ranges, g, expected):
    assert ranges.sample(FixedGaussian(g)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("ranges", "translation", "degrees", "scale"),
    [
        (BACKGROUND_MOTION, (-40, 40, 4, 15, 1.0), 10, (0.93, 1.07, 2, 6, 0.6)),
        (OBJECT_MOTION, (-120, 120, 3, 10, 1.0), 30, (0.8, 1.2, 2, 6, 0.7)),
    ],
)
def test_the_constants_are_the_published_ones(ranges, translation, degrees, scale):
    assert ranges.translation == PeakedRange(*translation)
    assert ranges.scale == PeakedRange(*scale)
    assert math.degrees(ranges.rotation.high) == pytest.approx(degrees)
    assert ranges.rotation.low == -ranges.rotation.high
    assert (ranges.rotation.power, ranges.rotation.divisor) == (2, 6)


@pytest.mark.parametrize(("ranges", "share"), [(BACKGROUND_MOTION, 0.3), (OBJECT_MOTION, 0.7)])
def test_rotation_happens_as_often_as_published(ranges, share):
    rng = np.random.default_rng(1)
    values = np.array([ranges.rotation.sample(rng) for _ in range(4000)])
    # Gaussians beyond sqrt(6) fall back to no rotation, 1.4 % of them.
    assert (values != 0).mean() == pytest.approx(share * 0.986, abs=0.03)


def test_object_sizes_pile_up_at_both_ends_of_their_range():
    rng = np.random.default_rng(2)
    sizes = np.array([object_size(rng) for _ in range(4000)])
    assert sizes.min() == 0.2
    assert sizes.max() == 2.5
    assert (sizes == 0.2).mean() == pytest.approx(0.2266, abs=0.03)  # Phi(-0.75)
    assert (sizes == 2.5).mean() == pytest.approx(0.0168, abs=0.01)  # 1 - Phi(2.125)


def test_a_similarity_keeps_its_centre_and_turns_x_towards_y():
    motion = similarity_about((3.0, 5.0), math.pi / 2, 2.0, shift=(10.0, -1.0))
    assert motion @ [3, 5, 1] == pytest.approx([13, 4, 1])
    assert motion @ [4, 5, 1] == pytest.approx([13, 6, 1])


def test_the_unit_multiplies_translations_only():
    centre = (20.0, 30.0)
    small = random_motion(np.random.default_rng(3), OBJECT_MOTION, centre, 1.0)
    large = random_motion(np.random.default_rng(3), OBJECT_MOTION, centre, 3.0)
    assert large[:2, :2] == pytest.approx(small[:2, :2])
    moved = [(m @ [*centre, 1.0])[:2] - centre for m in (small, large)]
    assert np.abs(moved[0]).max() > 0.1
    assert moved[1] == pytest.approx(3 * moved[0])
