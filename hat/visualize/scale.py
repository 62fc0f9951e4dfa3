"""The speed that has full colour: a round one that nearly all pixels stay below.

If the fastest pixels decided, one small fast object would leave all other colours nearly white.
"""

from __future__ import annotations

import cv2
import numpy as np

# Speeds of a legend, px, times powers of ten: numbers that are read at a glance.
ROUND_SPEEDS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
TYPICAL_SHARE = 95.0  # percentile of the speed that still has a colour of its own
# Speed, px, with full colour at the least, unless the caller gives one: where nothing moves, a
# network finds noise of a fraction of a pixel, which is to look like it.
LEAST_SCALE = 1.0


def colour_scale(*flows: tuple[np.ndarray, np.ndarray | None]) -> float:
    """Speed, px, with full colour for the first of the (flow, valid) in which anything moves.

    It is a round speed, not below the :func:`typical_speed` there and not below ``LEAST_SCALE``.
    """
    for flow, valid in flows:
        speed = _known_speeds(flow, valid)
        if speed.any():
            return round_scale(_typical(speed), LEAST_SCALE)
    return LEAST_SCALE


def typical_speed(flow: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Speed, px, that all but one pixel in twenty stay below.

    Args:
        flow: (H, W, 2), px.
        valid: (H, W), zero where the flow is unknown. Such pixels, and those that are not finite,
            do not count; without any other the speed is 0.
    """
    return _typical(_known_speeds(flow, valid))


def round_scale(speed: float, least: float) -> float:
    """The next round speed, px: 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15 ..., from that of ``least`` on."""
    speed = max(speed, least)
    power = 10.0 ** np.floor(np.log10(speed))
    return float(power * next(step for step in ROUND_SPEEDS if step * power >= speed * (1 - 1e-9)))


def _known_speeds(flow: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    u, v = cv2.split(np.ascontiguousarray(flow, np.float32))
    speed = cv2.magnitude(u, v)
    known = np.isfinite(speed)
    return speed[known if valid is None else known & (valid > 0)]


def _typical(speed: np.ndarray) -> float:
    if not speed.size:
        return 0.0
    # numpy's percentile loads more of numpy, which takes longer than all of this.
    rank = round(TYPICAL_SHARE / 100 * (speed.size - 1))
    return float(np.partition(speed, rank)[rank])
