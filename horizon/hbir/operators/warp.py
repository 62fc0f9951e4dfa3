"""Warp: what moves one image onto another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import LIMITS, offset_fraction_bits, requantize
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import check_multiplier, check_shift, problem
from horizon.hbir.operators.operator import NARROW, Operator, T

if TYPE_CHECKING:
    from horizon.hbir.onnx_builder import Builder
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class Warp(Operator):
    """Bilinear samples of ``feature`` at each pixel's place plus ``offset``, outside 0.

    Inputs: feature (N, H, W, C) and offset (N, H, W, 2) int16, (x, y), whose steps the ratio turns
    into pixels. With F fraction bits: ``o = clamp((offset * M + 2^(s-F-1)) >> (s-F))``,
    ``X = (x << F) + o``, four taps weighted by the fractions, ``(sum + 2^(2F-1)) >> 2F``. The sum
    of the weights is 2^(2F), so that the result needs no clamp and the sum of int16 fits int32.
    """

    name = "warp"
    required: ClassVar[Mapping[str, str]] = {"offset_multiplier": "int", "offset_shift": "int"}
    input_types = (NARROW, ("int16",))
    input_count = (2, 2)
    instruction = "warp"
    columns: ClassVar[Mapping[str, str]] = {
        "multiplier": "offset_multiplier",
        "shift": "offset_shift",
    }
    typed_inputs = 1
    without_unit = (
        "choose a machine that has it ({others}), cut the network there and warp on the CPU "
        "between the parts, or train a network without warping: on the same features, "
        "correlated over larger displacements"
    )
    qdq_opset = 21  # the first one whose QuantizeLinear has int16
    whole_note = "a warp may read any place, so that the whole map of a channel has to be there"

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

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        anywhere = axis in (1, 2) if operand == 0 else axis == 3
        return None if anywhere else out

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        """``origin``: where the part of the output begins in the map."""
        _, height, width, _ = shapes[0]
        bits = offset_fraction_bits(height, width)
        return {"fraction_bits": bits, "origin": (out[1], out[2])}

    def table(self, node: Node, shapes: Sequence[Shape]) -> dict[str, Any]:
        _, height, width, _ = shapes[0]
        columns = super().table(node, shapes)
        return columns | {"shift": columns["shift"] - offset_fraction_bits(height, width)}

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        """Four taps of each pixel from a table of pixels with a border of zeros.

        The table holds q + b >= 0 (b is 128 or 2^15) also in its border. The four weights add up
        to 2^(2F), so the sums are larger by b * 2^(2F): non-negative, and by b after the shift.
        """
        add, constant, sizes = export.builder.add, export.builder.constant, export.builder.sizes
        feature, offset = node.inputs
        batch, height, width, channels = export.tensors[feature].shape
        dtype = export.tensors[feature].dtype
        fraction = offset_fraction_bits(height, width)
        wide, bias = ("int32" if dtype == "int8" else "int64"), export.bias(dtype)
        steps = export.requantised(
            [(export.stored(offset), node.attributes["offset_multiplier"], 0)],
            node.attributes["offset_shift"] - fraction,
            *LIMITS["int16"],
            "int16",
        )
        steps = export.builder.cast(steps, "int32")
        columns, column_weights = _taps(export.builder, steps, 0, width, fraction)
        rows, row_weights = _taps(export.builder, steps, 1, height, fraction)
        rows = add("Mul", rows, constant(width + 2, "int32"))
        pixels = add("Add", add("Unsqueeze", rows, sizes(2)), add("Unsqueeze", columns, sizes(1)))
        first = np.arange(batch).reshape(-1, 1, 1, 1, 1) * (height + 2) * (width + 2)
        pixels = add("Add", pixels, constant(first, "int32"))
        weights = add(
            "Mul",
            add("Unsqueeze", row_weights, sizes(2, 5)),
            add("Unsqueeze", column_weights, sizes(1, 5)),
        )
        table = export.stored(feature)
        if dtype != "int8":
            table = add("Add", export.builder.cast(table, "int32"), constant(bias, "int32"))
        zero = constant(bias, "uint8" if dtype == "int8" else "int32")
        table = add("Pad", table, sizes(0, 0, 1, 1, 0, 0, 1, 1), zero)
        table = add("Transpose", table, perm=[0, 2, 3, 1])
        table = add("Reshape", table, sizes(batch * (height + 2) * (width + 2), channels))
        taps = export.builder.cast(add("Gather", table, pixels, axis=0), wide)
        if dtype != "int8":
            weights = export.builder.cast(weights, wide)
        total = add("ReduceSum", add("Mul", taps, weights), sizes(1, 2), keepdims=0)
        half = 1 << (2 * fraction) >> 1
        total = export.shift(add("Add", total, constant(half, wide)), 2 * fraction, f"u{wide}")
        total = add("Transpose", total, perm=[0, 3, 1, 2])
        if dtype != "int8":
            total = add("Sub", export.builder.cast(total, wide), constant(bias, wide))
        export.builder.cast(
            total, "uint8" if dtype == "int8" else dtype, output=export.stored(node.output)
        )

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        """GridSample, on the grid of the pixels' corners: it is there for sides of one pixel."""
        add, constant = export.builder.add, export.builder.constant
        feature, offset = node.inputs
        _, height, width, _ = export.tensors[feature].shape
        fraction = constant(2.0 ** -offset_fraction_bits(height, width), "float32")
        values = node.attributes
        operand, scale = export.operand(offset)
        pixels = values["offset_multiplier"] * 2.0 ** -values["offset_shift"] / scale
        moved = export.times(operand, pixels)
        zero = constant(0, "int16")
        moved = add("QuantizeLinear", moved, fraction, zero)
        moved = add("DequantizeLinear", moved, fraction, zero)
        size = np.array([width, height]).reshape(1, 2, 1, 1)
        corners = np.zeros((1, 2, 1, width)), np.zeros((1, 2, height, 1))
        corners[0][0, 0, 0] = (2 * np.arange(width) + 1) / width - 1
        corners[1][0, 1, :, 0] = (2 * np.arange(height) + 1) / height - 1
        grid = add("Mul", moved, constant(2 / size, "float32"))
        for corner in corners:
            grid = add("Add", grid, constant(corner, "float32"))
        grid = add("Transpose", grid, perm=[0, 2, 3, 1])
        sampled = add(
            "GridSample",
            export.real(feature),
            grid,
            mode="linear",
            padding_mode="zeros",
            align_corners=0,
        )
        export.keep(node, sampled)


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


def _taps(builder: Builder, steps: str, axis: int, size: int, fraction: int) -> tuple[str, str]:
    """Positions in the bordered table and weights of both neighbours: (N, 2, H, W) int32."""
    add, constant = builder.add, builder.constant
    # 2^15 makes X non-negative, whatever the offset; it is a multiple of 2^F.
    position = (np.arange(size) << fraction) + (1 << 15)
    position = position.reshape((1, 1, 1, -1) if axis == 0 else (1, 1, -1, 1))
    total = add("Add", builder.slice(steps, 1, axis, axis + 1), constant(position, "int32"))
    one = constant(1 << fraction, "int32")
    whole = add("Div", total, one)
    right = add("Sub", total, add("Mul", whole, one))
    weights = add("Concat", add("Sub", one, right), right, axis=1)
    border = np.array([1, 2]).reshape(1, 2, 1, 1) - ((1 << 15) >> fraction)
    places = add("Add", whole, constant(border, "int32"))
    limits = constant(0, "int32"), constant(size + 1, "int32")
    return add("Clip", places, *limits), weights
