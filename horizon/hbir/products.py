"""How many products a convolution adds up: one count for the graph, the compiler and the timing.

What falls on the padding counts, as in publications. Of a transposed convolution those products
count that reach the output: an output row meets every stride-th row of the kernel only, so that
the kernel falls into stride.y * stride.x kernels. So the count of a layer is the sum of its tiles'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

Pair = Sequence[int]


def phases(
    size: Pair, kernel: Pair, stride: Pair = (1, 1), pad: Pair = (0, 0), transposed: bool = False
) -> Iterator[tuple[int, int, int]]:
    """The output of a convolution in parts whose pixels have the same taps.

    Args:
        size: (rows, columns) of the output.
        kernel, stride, pad: (y, x); the stride and the padding count if it is transposed.

    Yields:
        (rows, columns, taps of the kernel); taps are 0 where the kernel is smaller than the stride.
    """
    if not transposed:
        yield size[0], size[1], math.prod(kernel)
        return
    for rows, tall in _phases_along(size[0], kernel[0], stride[0], pad[0]):
        for columns, wide in _phases_along(size[1], kernel[1], stride[1], pad[1]):
            yield rows, columns, tall * wide


def _phases_along(side: int, kernel: int, stride: int, pad: int) -> Iterator[tuple[int, int]]:
    """(places of the output, taps of the kernel) for each remainder along an axis."""
    for place in range(min(stride, side)):
        tap = (place + pad) % stride  # out = in * stride - pad + tap
        yield _count(place, side, stride), _count(tap, kernel, stride)


def _count(start: int, stop: int, step: int) -> int:
    return max(-(-(stop - start) // step), 0)
