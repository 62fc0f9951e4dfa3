"""The speed that has full colour."""

from __future__ import annotations

import numpy as np
import pytest

from hat.visualize.colours import flow_colours
from hat.visualize.scale import colour_scale, round_scale, typical_speed


@pytest.mark.parametrize(
    ("speed", "least", "expected"),
    [
        (0.0, 1.0, 1.0),
        (1.2, 1.0, 1.5),
        (9.0, 1.0, 10.0),
        (10.0, 1.0, 10.0),
        (10.1, 1.0, 15.0),
        (0.3, 5.0, 5.0),
        (123.0, 5.0, 150.0),
        (0.012, 0.001, 0.015),
    ],
)
def test_round_scales(speed: float, least: float, expected: float) -> None:
    assert round_scale(speed, least) == pytest.approx(expected)


def mostly(u: float, v: float, fast: float) -> np.ndarray:
    """(100, 100, 2), px, with a fast object on four pixels in a hundred."""
    flow = np.full((100, 100, 2), (u, v), np.float32)
    flow[:4] = fast
    return flow


def test_a_few_fast_pixels_do_not_set_the_scale() -> None:
    flow = mostly(3, 4, 1000.0)
    flow[50, 0] = np.nan
    assert typical_speed(flow) == pytest.approx(5.0)
    assert colour_scale((flow, None)) == 5.0
    assert flow_colours(flow)[60, 60].min() < 60  # the colours are strong, not nearly white
    assert typical_speed(np.full((2, 2, 2), np.nan, np.float32)) == 0.0


def test_pixels_without_true_flow_do_not_count() -> None:
    flow = mostly(3, 4, 1000.0)
    valid = np.zeros((100, 100), np.uint8)
    valid[:4, :10] = 1
    assert colour_scale((flow, valid)) == 1500.0
    assert typical_speed(flow, np.zeros((100, 100), np.uint8)) == 0.0


def test_scale_has_a_floor_that_the_user_may_lower() -> None:
    slow, fast = (np.full((1, 1, 2), speed, np.float32) for speed in (0.03, 30.0))
    still = np.zeros((1, 1, 2), np.float32)
    assert colour_scale((slow, None)) == 1.0
    assert colour_scale((slow, None), (fast, None)) == 1.0  # the true flow's, though slow
    assert colour_scale((still, None), (fast, None)) == 50.0  # of 42.4
    assert flow_colours(slow).min() > 230
    assert flow_colours(slow, max_flow=0.04).min() < 60
