"""A histogram of magnitudes that grows exactly, and the clipping thresholds drawn from it.

``BINS`` equal bins cover ``0 <= |x| < 2**exponent``. A larger value doubles the range: two
neighbouring bins become one, and no count lands elsewhere than if the range had been large from
the start. So the histogram depends on the values alone, not on their order or on how they were
spread over batches and processes.

Exact zeros are counted apart. Every symmetric scale holds them without error, so they say nothing
about the scale, and after a ReLU they would outnumber everything else.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BINS = 4096
MIN_EXPONENT = -14
"""The smallest range is 2**-14: what lies below counts as zero in the observers."""

Array = NDArray[np.float64]


class Histogram:
    """Counts of ``|x|``, on the device of the values seen last.

    Attributes:
        exponent: the range is ``2**exponent``, the smallest power of two above every value.
        counts: (BINS,) int64, the values that are not exactly zero.
        zeros: () int64, the exact zeros.
    """

    def __init__(self) -> None:
        self.exponent = MIN_EXPONENT
        self.counts = torch.zeros(BINS, dtype=torch.int64)
        self.zeros = torch.zeros((), dtype=torch.int64)

    @property
    def bin_width(self) -> float:
        return math.ldexp(1.0, self.exponent) / BINS

    def add(self, x: Tensor, largest: float) -> None:
        """Count finite values of any shape, float32 or narrower; ``largest`` is their max |x|."""
        if largest > 0:
            self.grow(math.frexp(largest)[1])
        # Scaling by a power of two is exact, so a value's bin is too.
        magnitudes = x.detach().float().flatten() * math.ldexp(BINS, -self.exponent)
        bins = magnitudes.abs_().to(torch.int32)
        counts = torch.bincount(bins, minlength=BINS)
        zeros = (x == 0).sum()
        counts[0] -= zeros
        # Out of place: tensors made in inference mode must not be written to outside of it.
        self.counts = self.counts.to(x.device) + counts
        self.zeros = self.zeros.to(x.device) + zeros

    def grow(self, exponent: int) -> None:
        """Widen the range to ``2**exponent``; nothing happens if it is that wide already."""
        doublings = exponent - self.exponent
        if doublings <= 0:
            return
        merged = min(2**doublings, BINS)
        counts = self.counts.reshape(-1, merged).sum(1)
        self.counts = torch.cat([counts, counts.new_zeros(BINS - counts.numel())])
        self.exponent = exponent


def percentile_threshold(histogram: Histogram, percentile: float, count_zeros: bool) -> float:
    """The value that ``percentile`` per cent of the magnitudes do not exceed.

    Within a bin the values are taken as evenly spread: the result is off by less than a bin.
    """
    counts = _counts(histogram)
    cumulative = np.cumsum(counts)
    zeros = float(histogram.zeros) if count_zeros else 0.0
    wanted = percentile / 100 * (cumulative[-1] + zeros) - zeros
    if wanted <= 0:
        return 0.0
    index = min(int(np.searchsorted(cumulative, wanted)), int(np.flatnonzero(counts)[-1]))
    inside = (wanted - (cumulative[index] - counts[index])) / counts[index]
    return float((index + min(inside, 1.0)) * histogram.bin_width)


def squared_error(histogram: Histogram, thresholds: Array, qmax: int) -> Array:
    """Sum of squared quantisation errors for each threshold (T,), rounding and clipping together.

    Values are taken as evenly spread within their bin, over which the error is integrated in
    closed form. With step ``d = threshold / qmax``, ``n = min(round(u / d), qmax)`` and
    ``r = u - n d``, the integral of the squared error from 0 to u is ``n d**3 / 12 + r**3 / 3``:
    each level below contributes a whole rounding interval, the last one a part of it or, beyond
    the threshold, everything that is clipped.
    """
    counts = _counts(histogram)
    used = np.flatnonzero(counts)
    # In units of bins, which keeps the cubes in a moderate range.
    step = (thresholds / histogram.bin_width / qmax)[:, None]

    def integral(u: Array) -> Array:
        level = np.minimum(np.floor(u / step + 0.5), qmax)
        return level * step**3 / 12 + (u - level * step) ** 3 / 3

    lower = used.astype(np.float64)
    errors = (integral(lower + 1) - integral(lower)) @ counts[used]
    return errors * histogram.bin_width**2


def mse_threshold(histogram: Histogram, largest: float, qmax: int) -> float:
    """The threshold, at most ``largest``, with the smallest ``squared_error``.

    A search over 20 thresholds per octave down to one bin, then twice between the neighbours of
    the best.
    """
    if not histogram.counts.any():
        return largest
    octaves = math.log2(largest / histogram.bin_width)
    thresholds = largest * 2.0 ** -np.linspace(0, octaves, max(2, round(20 * octaves) + 1))
    best = _best(histogram, thresholds, qmax)
    for _ in range(2):
        first, last = thresholds[max(best - 1, 0)], thresholds[min(best + 1, len(thresholds) - 1)]
        thresholds = np.append(np.linspace(first, last, 64), thresholds[best])
        thresholds = np.unique(thresholds)[::-1]
        best = _best(histogram, thresholds, qmax)
    return float(thresholds[best])


KL_STRIDE = 8
"""Bins between two candidates: below 0.4 % of the range, which is at least half used."""


def kl_threshold(histogram: Histogram, largest: float, levels: int) -> float:
    """The threshold with the smallest Kullback-Leibler divergence between the clipped
    distribution and its quantisation to ``levels`` magnitudes.

    Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017. For the first i bins, the
    reference P gets everything beyond as part of its last bin; the candidate Q does not: its bins
    are merged to ``levels`` groups, and the sum of each is shared by its bins that P uses. A
    candidate that has nothing where P has something diverges infinitely and is not considered;
    the whole range never does. Exact zeros take no part.
    """
    counts = _counts(histogram)
    used = np.flatnonzero(counts)
    if not used.size:
        return largest
    total = counts.sum()
    whole = max(int(used[-1]) + 1, levels)
    best_stop, smallest = whole, math.inf
    for stop in range(whole, levels - 1, -KL_STRIDE):
        inside = counts[:stop]
        reference = inside.copy()
        reference[-1] += total - inside.sum()
        support = reference > 0
        group = np.arange(stop) * levels // stop
        sums = np.bincount(group, inside, levels)
        shares = np.bincount(group, support, levels)
        candidate = (sums / np.maximum(shares, 1))[group][support]
        if candidate.min() == 0:
            continue
        p = reference[support] / total
        q = candidate / candidate.sum()
        divergence = float(np.sum(p * np.log(p / q)))
        if divergence < smallest:
            best_stop, smallest = stop, divergence
    return min(best_stop * histogram.bin_width, largest)


def _best(histogram: Histogram, thresholds: Array, qmax: int) -> int:
    return int(np.argmin(squared_error(histogram, thresholds, qmax)))


def _counts(histogram: Histogram) -> Array:
    return histogram.counts.cpu().numpy().astype(np.float64)
