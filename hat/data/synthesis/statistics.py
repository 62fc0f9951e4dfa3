"""Statistics of the length of flow vectors over a data set, in one pass and any order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["PUBLISHED_STATISTICS", "SPEED_LIMITS", "FlowStatistics"]

BINS_PER_PIXEL = 32
SPEED_LIMITS = (10.0, 40.0)  # px: Sintel's s0-10, s10-40 and s40+
LONGEST = 2048  # px; longer vectors count in the last bin

# |flow| in px over all pixels of FlyingChairs' published distributions at 384x512
PUBLISHED_STATISTICS = {"mean": 11.5, "sd": 16.0, "median": 6.0, "p90": 29.0, "p99": 89.0}


class FlowStatistics:
    """Histogram and moments of |flow|. The result does not depend on the order of the pairs."""

    def __init__(self) -> None:
        self.histogram = np.zeros(LONGEST * BINS_PER_PIXEL, np.int64)
        self.longest = 0.0
        self._sums: list[float] = []
        self._squares: list[float] = []

    def add(self, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Count a flow field (H, W, 2) in px, where ``valid`` (H, W) is not 0."""
        known = flow if valid is None else flow[valid > 0]
        if known.size == 0:
            return
        u, v = known[..., 0].astype(np.float64), known[..., 1].astype(np.float64)
        squares = u * u + v * v
        length = np.sqrt(squares)
        bins = np.minimum((length * BINS_PER_PIXEL).astype(np.int64), len(self.histogram) - 1)
        self.histogram += np.bincount(bins.ravel(), minlength=len(self.histogram))
        self.longest = max(self.longest, float(length.max()))
        self._sums.append(float(length.sum()))
        self._squares.append(float(squares.sum()))

    def merge(self, other: FlowStatistics) -> None:
        """Count everything that ``other`` has counted."""
        self.histogram += other.histogram
        self.longest = max(self.longest, other.longest)
        self._sums += other._sums
        self._squares += other._squares

    def shares(self, limits: Sequence[float] = SPEED_LIMITS) -> list[float]:
        """The share of vectors shorter than the first limit (px), between two limits, and longer.

        Limits are met to 1/32 px.
        """
        cumulated = np.concatenate([[0], np.cumsum(self.histogram)])
        at = [0, *(round(limit * BINS_PER_PIXEL) for limit in limits), len(self.histogram)]
        return (np.diff(cumulated[at]) / cumulated[-1]).tolist()

    def quantile(self, share: float) -> float:
        """The length in px, to 1/32 px, that ``share`` of the vectors does not exceed."""
        cumulated = np.cumsum(self.histogram)
        return (int(np.searchsorted(cumulated, share * cumulated[-1])) + 0.5) / BINS_PER_PIXEL

    def summary(self) -> dict[str, float]:
        """Mean, standard deviation, median, percentiles and maximum of |flow|, px.

        Percentiles are exact to 1/32 px. fsum rounds once, so order leaves no trace.
        """
        count = int(self.histogram.sum())
        if count == 0:
            raise ValueError("statistics of no flow at all")
        mean = math.fsum(self._sums) / count
        variance = max(math.fsum(self._squares) / count - mean * mean, 0.0)
        values = {"mean": mean, "sd": math.sqrt(variance)}
        for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            values[name] = self.quantile(share)
        values["max"] = self.longest
        return {name: round(value, 4) for name, value in values.items()}
