"""Correlation and warp: what compares two images, and what moves one onto the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.fixed_point import LIMITS, offset_fraction_bits, prove_no_overflow, requantize
from horizon.hbir.operator import (
    NARROW,
    Operator,
    Shape,
    check_multiplier,
    check_shift,
    checked_accumulator,
    problem,
)

if TYPE_CHECKING:
    from horizon.hbir.graph import Node, TensorInfo


class Correlation(Operator):
    """``acc[d, y, x] = sum_c a[c, y, x] * b[c, y + dy, x + dx]``, outside 0, then requantised.

    Channel ``d = (dy + md) * (2 md + 1) + dx + md`` for displacements -md..md. The mean's 1/C is
    part of the ratio.
    """

    required: ClassVar[Mapping[str, str]] = {
        "max_displacement": "int",
        "multiplier": "int",
        "shift": "int",
        "lo": "int",
        "hi": "int",
    }
    input_types = (NARROW,)
    input_count = (2, 2)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        first, second = inputs
        if first.shape != second.shape:
            raise problem(node, f"inputs of shapes {first.shape}, {second.shape}", "equal shapes")
        reach = node.attributes["max_displacement"]
        if reach < 0:
            raise problem(node, f"max_displacement {reach}", "at least 0")
        batch, height, width, _ = first.shape
        return batch, height, width, (2 * reach + 1) ** 2

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        check_multiplier(node, "multiplier", output.shape[3])
        check_shift(node, "shift", output.shape[3])
        first, second = (-LIMITS[info.dtype][0] for info in inputs)
        # The second image's largest values stand for the weights.
        weight = np.full((1, inputs[0].shape[3]), second)
        prove_no_overflow(weight, np.zeros(1, np.int64), first, f"layer {node.name}")

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        first, second = inputs
        reach = values["max_displacement"]
        _, height, width, _ = first.shape
        padded = np.pad(second, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        side = range(2 * reach + 1)
        volume = [
            (first * padded[:, top : top + height, left : left + width]).sum(-1)
            for top, left in product(side, side)
        ]
        acc = checked_accumulator(node, np.stack(volume, -1))
        return requantize(acc, values["multiplier"], values["shift"], values["lo"], values["hi"])


class Warp(Operator):
    """Bilinear samples of ``feature`` at each pixel's place plus ``offset``, outside 0.

    Inputs: feature (N, H, W, C) and offset (N, H, W, 2) int16, (x, y), whose steps the ratio turns
    into pixels. With F fraction bits: ``o = clamp((offset * M + 2^(s-F-1)) >> (s-F))``,
    ``X = (x << F) + o``, four taps weighted by the fractions, ``(sum + 2^(2F-1)) >> 2F``. The sum
    of the weights is 2^(2F), so that the result needs no clamp and the sum of int16 fits int32.
    """

    required: ClassVar[Mapping[str, str]] = {"offset_multiplier": "int", "offset_shift": "int"}
    input_types = (NARROW, ("int16",))
    input_count = (2, 2)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        feature, offset = inputs
        expected = (*feature.shape[:3], 2)
        if offset.shape != expected:
            raise problem(node, f"offset of shape {offset.shape}", f"{expected}")
        return feature.shape

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        if output.dtype != inputs[0].dtype:
            raise problem(node, f"output {output.dtype}", f"the feature's {inputs[0].dtype}")
        check_multiplier(node, "offset_multiplier", 2)
        _, height, width, _ = output.shape
        check_shift(node, "offset_shift", 2, minus=offset_fraction_bits(height, width))

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        feature, offset = inputs
        _, height, width, _ = feature.shape
        bits = offset_fraction_bits(height, width)
        multiplier, shift = (node.attributes[f"offset_{key}"] for key in ("multiplier", "shift"))
        steps = requantize(offset, multiplier, shift - bits, *LIMITS["int16"])
        return warp(feature, steps, bits)


def warp(feature: np.ndarray, steps: np.ndarray, bits: int) -> np.ndarray:
    """The samples for offsets in steps of ``2**-bits`` pixels.

    Args:
        feature: int64 (N, H, W, C). steps: int64 (N, H, W, 2), (x, y).
    """
    batch, height, width, _ = feature.shape
    x = (np.arange(width) << bits) + steps[..., 0]
    y = (np.arange(height)[:, None] << bits) + steps[..., 1]
    one = 1 << bits
    images = np.arange(batch)[:, None, None]
    total = np.zeros(feature.shape, np.int64)
    for below, right in product((0, 1), (0, 1)):
        rows, columns = (y >> bits) + below, (x >> bits) + right
        row_weight = (y & (one - 1)) if below else one - (y & (one - 1))
        column_weight = (x & (one - 1)) if right else one - (x & (one - 1))
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        tap = feature[images, rows.clip(0, height - 1), columns.clip(0, width - 1)]
        total += tap * (row_weight * column_weight * inside)[..., None]
    half = (1 << 2 * bits) >> 1
    return (total + half) >> (2 * bits)
