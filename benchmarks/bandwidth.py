"""The bandwidth of the cores when they copy memory inside and outside of their caches."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SIZES = tuple(2**power for power in range(14, 26))  # bytes read; the same number is written
LONG_SECONDS = 0.01


class Bandwidth:
    """Bytes read and written per second, by the size of one operation.

    Args:
        threads: number of threads that copy at the same time, each an equal share.
    """

    def __init__(self, threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            self._rates = [_rate(size, threads, pool) for size in SIZES]

    def seconds(self, moved: int) -> float:
        """The least time in which ``moved`` bytes, read and written, pass through the cores."""
        rate = np.interp(np.log(max(moved, 1) / 2), np.log(SIZES), self._rates)
        return moved / float(rate)


def _rate(size: int, threads: int, pool: ThreadPoolExecutor) -> float:
    share = size // threads
    pairs = [(np.zeros(share, np.uint8), np.ones(share, np.uint8)) for _ in range(threads)]
    count = max(1, int(LONG_SECONDS * 2e10 / size))

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        to, source = pair
        for _ in range(count):
            np.copyto(to, source)

    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        list(pool.map(copy, pairs))
        best = min(best, time.perf_counter() - started)
    return 2 * share * threads * count / best
