"""What flow fields are like: speeds, gradients, and what cannot be matched."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hat.data.synthesis.statistics import FlowStatistics

__all__ = ["GRADIENT_LIMITS", "FieldStatistics", "unmatched"]

GRADIENT_LIMITS = (0.01, 0.1, 1.0)  # px per px


class FieldStatistics:
    """Speeds and gradients of flow fields, and the shares of pixels without a match."""

    def __init__(self) -> None:
        self.speeds = FlowStatistics()
        self.fields = 0
        self._gradients = np.zeros(len(GRADIENT_LIMITS) + 1, np.int64)
        self._leaving: list[float] = []
        self._unmatched: list[float] = []

    def add(
        self, flow: np.ndarray, valid: np.ndarray | None = None, hidden: np.ndarray | None = None
    ) -> None:
        """Count a field.

        Args:
            flow: (H, W, 2) px.
            valid: (H, W), not 0 where the flow is known; None for everywhere.
            hidden: (H, W) bool, where image 2 does not show the surface; None if not known.
        """
        known = np.ones(flow.shape[:2], bool) if valid is None else valid > 0
        if not known.any():
            return
        self.fields += 1
        self.speeds.add(flow, valid)
        both = known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:]
        length = np.sqrt(
            np.square(flow[1:, :-1] - flow[:-1, :-1], dtype=np.float64).sum(axis=2)
            + np.square(flow[:-1, 1:] - flow[:-1, :-1], dtype=np.float64).sum(axis=2)
        )[both]
        self._gradients += np.bincount(
            np.searchsorted(GRADIENT_LIMITS, length, side="right"),
            minlength=len(self._gradients),
        )
        self._leaving.append(float(_leaving(flow)[known].mean()))
        if hidden is not None:
            self._unmatched.append(float(hidden[known].mean()))

    def summary(self) -> dict[str, Any]:
        """Lengths in px; ``speeds``, ``gradients`` (of ``GRADIENT_LIMITS``) and others as shares.

        ``unmatched`` is there if it is known for all fields.
        """
        count = max(int(self._gradients.sum()), 1)
        summary: dict[str, Any] = {
            "fields": self.fields,
            **self.speeds.summary(),
            "speeds": self.speeds.shares(),
            "deciles": [self.speeds.quantile(k / 10) for k in range(1, 10)],
            "gradients": (self._gradients / count).tolist(),
            "leaving": math.fsum(self._leaving) / self.fields,
        }
        if len(self._unmatched) == self.fields:
            summary["unmatched"] = math.fsum(self._unmatched) / self.fields
        return summary


def unmatched(flow: np.ndarray, labels1: np.ndarray, labels2: np.ndarray) -> np.ndarray:
    """Where image 2 does not show the surface of image 1: bool (H, W).

    The pixel nearest to the target shows another layer, or the target lies outside.
    """
    height, width = labels1.shape
    hidden = _leaving(flow)
    y, x = np.mgrid[:height, :width]
    column = np.clip(np.rint(x + flow[..., 0]).astype(np.int64), 0, width - 1)
    row = np.clip(np.rint(y + flow[..., 1]).astype(np.int64), 0, height - 1)
    return hidden | (labels2[row, column] != labels1)


def _leaving(flow: np.ndarray) -> np.ndarray:
    """Where the target lies outside of the picture, by more than half a pixel."""
    height, width = flow.shape[:2]
    x, y = flow[..., 0] + np.arange(width), flow[..., 1] + np.arange(height)[:, None]
    return (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
