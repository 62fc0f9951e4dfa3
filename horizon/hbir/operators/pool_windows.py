"""Windows that are averaged: where they lie, how many elements count, and what divides by that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horizon.hbir.fixed_point import quantize_ratios
from horizon.hbir.node import Shape

Pair = tuple[int, int]


@dataclass(frozen=True)
class PoolWindows:
    """The windows of an average pooling of one map; pairs are (rows, columns).

    Attributes:
        sides: of the map.
        size: of the output.
        margin: rows and columns around the map that count as elements (of 0).
        divisor: what all sums are divided by; 0: each by the number of its elements.
    """

    sides: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    size: Pair
    margin: Pair
    divisor: int

    def elements(self, axis: int, margin: int = 0) -> np.ndarray:
        """How many rows (axis 0) or columns of each window are in the map or its margin."""
        begin = np.arange(self.size[axis]) * self.stride[axis] - self.padding[axis]
        end = np.minimum(begin + self.kernel[axis], self.sides[axis] + margin)
        return np.asarray(end - np.maximum(begin, -margin), np.int64)

    def divisors(self) -> np.ndarray:
        """What the sum of each window is divided by, int64 (rows, columns)."""
        if self.divisor:
            return np.full(self.size, self.divisor, np.int64)
        rows, columns = (self.elements(axis, self.margin[axis]) for axis in (0, 1))
        return np.multiply.outer(rows, columns)

    @property
    def largest(self) -> int:
        """No window has more elements of the map."""
        rows, columns = (min(pair) for pair in zip(self.kernel, self.sides, strict=True))
        return rows * columns

    @property
    def tiles(self) -> bool:
        """Whether each element of the map belongs to exactly one window."""
        whole = tuple(k * s for k, s in zip(self.kernel, self.size, strict=True)) == self.sides
        return whole and self.kernel == self.stride and self.padding == (0, 0)


def divided_ratios(
    multiplier: int, shift: int, divisors: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """``quantise(M * 2^-s / n)`` for each n, int64 (C,): fixed point, "Average pooling".

    ``M * 2^-s / n`` as float64 is rounded to the same 24 bits as the fraction: that is 2^-24 / n of
    a tie away from it, if not on it.

    Raises:
        InputError: a ratio that has no multiplier and shift.
    """
    return quantize_ratios(np.ldexp(multiplier / divisors.astype(np.float64), -shift), where)


def output_side(side: int, kernel: int, stride: int, padding: int, ceil: int) -> int:
    """Rows or columns of a pooled map, as torch has it."""
    if not ceil:
        return int((side + 2 * padding - kernel) // stride + 1)
    size = -(-(side + 2 * padding - kernel) // stride) + 1
    # The last window begins inside of the input or its padding on the left.
    return int(size - ((size - 1) * stride >= side + padding))


def end_padding(windows: PoolWindows) -> list[int]:
    """ONNX's pads: those that reach as far as the last windows, whatever ``ceil``."""
    ends = [
        max((size - 1) * stride + kernel - side - padding, 0)
        for size, stride, kernel, side, padding in zip(
            windows.size,
            windows.stride,
            windows.kernel,
            windows.sides,
            windows.padding,
            strict=True,
        )
    ]
    return [*windows.padding, *ends]


def shape_of(windows: PoolWindows, shape: Shape) -> Shape:
    """The output's shape for an input's."""
    return shape[0], *windows.size, shape[3]
