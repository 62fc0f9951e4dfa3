"""Positive numbers that make predictions agree with measurements, in relative error.

Levenberg-Marquardt on the logarithms of both numbers and times, with Huber's loss: errors up to
``LINEAR_FROM`` count squared, larger errors linearly. Measurements that the model cannot describe
thus have little influence on the fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LINEAR_FROM = 0.1
STEP = 1e-4  # step of a logarithm, for numerical derivatives
LONGEST = 1.0
ROUNDS = 40
GAIN = 1e-6  # share of the loss by which a round must improve; the search ends otherwise
TRIALS = 8


def fit(
    predict: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    limits: np.ndarray,
    measured: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Find the numbers whose predictions are closest to ``measured``.

    Args:
        predict: maps positive numbers (P,) to positive predictions (M,).
        start: (P,), positive.
        limits: (P, 2), least and largest value of each number, positive.
        measured, weights: (M,), positive.

    Returns:
        The numbers, and the loss.
    """
    goal, (least, most) = np.log(measured), np.log(limits).T
    place = np.clip(np.log(start), least, most)

    def errors(at: np.ndarray) -> np.ndarray:
        return np.log(predict(np.exp(at))) - goal

    def loss(error: np.ndarray) -> float:
        size = np.abs(error)
        linear = LINEAR_FROM * (size - LINEAR_FROM / 2)
        return float((weights * np.where(size < LINEAR_FROM, size**2 / 2, linear)).sum())

    error = errors(place)
    value, damping = loss(error), 1e-2
    for _ in range(ROUNDS):
        slope = np.stack(
            [(errors(place + STEP * axis) - error) / STEP for axis in np.eye(len(place))]
        )
        scaled = slope * weights * np.minimum(1, LINEAR_FROM / np.maximum(np.abs(error), 1e-12))
        curve, gradient = scaled @ slope.T, scaled @ error
        won = 0.0
        for _ in range(TRIALS):
            # A number without influence on the predictions has no curvature and keeps its value.
            damped = curve + np.diag(damping * np.diag(curve) + 1e-12)
            move = np.clip(np.linalg.solve(damped, -gradient), -LONGEST, LONGEST)
            there = np.clip(place + move, least, most)
            found = errors(there)
            if loss(found) < value:
                won = value - loss(found)
                place, error, value = there, found, loss(found)
                damping /= 3
                break
            damping *= 4
        if won <= GAIN * value:
            break
    return np.exp(place), value
