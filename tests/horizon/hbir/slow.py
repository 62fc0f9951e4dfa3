"""The contract in plain Python: loops over pixels and exact fractions, for comparison."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

import numpy as np


def rounded(value: Fraction, lo: int, hi: int) -> int:
    """Round half up, then clamp."""
    return min(max(floor(value + Fraction(1, 2)), lo), hi)


def requantized(acc: np.ndarray, a: dict[str, Any], residual: np.ndarray | None = None):
    """Each of (N, H, W, O) sums times its channel's ratio."""
    result = np.zeros(acc.shape, np.int64)
    for place in np.ndindex(acc.shape):
        o = place[3]
        value = Fraction(int(acc[place])) * int(np.broadcast_to(a["multiplier"], acc.shape[3])[o])
        if residual is not None:
            value += int(residual[place]) * int(a["residual_multiplier"][o])
        shift = int(np.broadcast_to(a["shift"], acc.shape[3])[o])
        result[place] = rounded(value / 2**shift, a["lo"], a["hi"])
    return result


def conv2d(x: np.ndarray, a: dict[str, Any], residual: np.ndarray | None = None) -> np.ndarray:
    n, h, w, _ = x.shape
    outputs, kh, kw, inputs = a["weight"].shape
    (sy, sx), (py, px), (dy, dx) = a["stride"], a["padding"], a["dilation"]
    below, right = a.get("end_padding", a["padding"])
    rows = (h + py + below - dy * (kh - 1) - 1) // sy + 1
    columns = (w + px + right - dx * (kw - 1) - 1) // sx + 1
    acc = np.zeros((n, rows, columns, outputs), np.int64)
    for image, row, column, o in np.ndindex(acc.shape):
        total = int(a["bias"][o])
        first = o // (outputs // a["groups"]) * inputs
        for ky, kx in product(range(kh), range(kw)):
            y, xx = row * sy - py + ky * dy, column * sx - px + kx * dx
            if 0 <= y < h and 0 <= xx < w:
                for i in range(inputs):
                    total += int(a["weight"][o, ky, kx, i]) * int(x[image, y, xx, first + i])
        acc[image, row, column, o] = total
    return requantized(acc, a, residual)


def conv_transpose2d(
    x: np.ndarray, a: dict[str, Any], residual: np.ndarray | None = None
) -> np.ndarray:
    n, h, w, _ = x.shape
    outputs, kh, kw, inputs = a["weight"].shape
    (sy, sx), (py, px), (below, right) = a["stride"], a["padding"], a.get("output_padding", (0, 0))
    rows, columns = (h - 1) * sy - 2 * py + kh + below, (w - 1) * sx - 2 * px + kw + right
    acc = np.zeros((n, rows, columns, outputs), np.int64)
    acc += a["bias"]
    for image, y, xx, ky, kx, o in product(*map(range, (n, h, w, kh, kw, outputs))):
        row, column = y * sy - py + ky, xx * sx - px + kx
        if 0 <= row < acc.shape[1] and 0 <= column < acc.shape[2]:
            first = o // (outputs // a.get("groups", 1)) * inputs
            for i in range(inputs):
                acc[image, row, column, o] += int(a["weight"][o, ky, kx, i]) * int(
                    x[image, y, xx, first + i]
                )
    return requantized(acc, a, residual)


def correlation(first: np.ndarray, second: np.ndarray, a: dict[str, Any]) -> np.ndarray:
    n, h, w, channels = first.shape
    reach = a["max_displacement"]
    side = 2 * reach + 1
    acc = np.zeros((n, h, w, side * side), np.int64)
    for image, y, x, dy, dx in product(range(n), range(h), range(w), range(side), range(side)):
        yy, xx = y + dy - reach, x + dx - reach
        if 0 <= yy < h and 0 <= xx < w:
            acc[image, y, x, dy * side + dx] = sum(
                int(first[image, y, x, c]) * int(second[image, yy, xx, c]) for c in range(channels)
            )
    return requantized(acc, a)


def warp(feature: np.ndarray, offset: np.ndarray, ratio: Fraction, bits: int) -> np.ndarray:
    """``ratio``: pixels of one step of the offset; ``bits``: fraction bits of a place."""
    n, h, w, channels = feature.shape
    result = np.zeros(feature.shape, np.int64)
    one = 2**bits
    for image, y, x in np.ndindex(n, h, w):
        places = []
        for axis, centre in ((1, y), (0, x)):
            step = rounded(int(offset[image, y, x, axis]) * ratio * one, -32768, 32767)
            whole, part = divmod(centre * one + step, one)
            places.append(((whole, one - part), (whole + 1, part)))
        for c in range(channels):
            total = 0
            for (row, row_weight), (column, column_weight) in product(*places):
                if 0 <= row < h and 0 <= column < w:
                    total += int(feature[image, row, column, c]) * row_weight * column_weight
            result[image, y, x, c] = floor(Fraction(total, one * one) + Fraction(1, 2))
    return result
