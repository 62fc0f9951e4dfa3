"""Correlation: what compares two images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import LIMITS, prove_no_overflow, requantize
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import (
    check_multiplier,
    check_shift,
    checked_accumulator,
    problem,
)
from horizon.hbir.operators.operator import MAP_LIMITS, NARROW, Operator, Products, T

if TYPE_CHECKING:
    from horizon.hbir.onnx_builder import Builder
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class Correlation(Operator):
    """``acc[d, y, x] = sum_c a[c, y, x] * b[c, y + dy, x + dx]``, outside 0, then requantised.

    Channel ``d = (dy + md) * (2 md + 1) + dx + md`` for displacements -md..md. The mean's 1/C is
    part of the ratio.
    """

    name = "correlation"
    required: ClassVar[Mapping[str, str]] = {
        "max_displacement": "int",
        "multiplier": "int",
        "shift": "int",
        "lo": "int",
        "hi": "int",
    }
    optional: ClassVar[Mapping[str, str]] = {"negative_multiplier": "int"}
    input_types = (NARROW,)
    input_count = (2, 2)
    instruction = "correlation"
    products = Products.PAIRS
    columns: ClassVar[Mapping[str, str]] = {
        "multiplier": "multiplier",
        "shift": "shift",
        "negative_multiplier": "negative_multiplier",
    }
    slopes: ClassVar[Mapping[str, str]] = {"multiplier": "negative_multiplier"}
    cuts_channels = False
    limits = ("displacement", "input_channels", *MAP_LIMITS)

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
        return requantize(
            acc,
            values["multiplier"],
            values["shift"],
            values["lo"],
            values["hi"],
            values.get("negative_multiplier"),
        )

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        if axis == 3:
            return None
        if operand == 0 or axis == 0:
            return out
        reach = node.attributes["max_displacement"]
        return out[0] - reach, out[1] + reach

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        """``pad``: the place of the first displacement in a part of the second input."""
        reach = node.attributes["max_displacement"]
        pad = tuple(reach - out[axis] + starts[1][axis] for axis in (1, 2))
        return {"reach": reach, "pad": pad}

    def taps(self, node: Node) -> float:
        return 1.0

    def macs(self, node: Node, shapes: Sequence[Shape], output: Shape) -> int:
        return math.prod(output) * shapes[0][3]

    def limit_values(
        self, node: Node, shapes: Sequence[Shape], output: Shape
    ) -> dict[str, tuple[int, str]]:
        reach = int(node.attributes["max_displacement"])
        values = super().limit_values(node, shapes, output)
        return values | {"displacement": (reach, str(reach))}

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        if all(export.tensors[name].dtype == "int8" for name in node.inputs):
            first, second = (export.stored(name) for name in node.inputs)
            zero = export.builder.constant(128, "uint8")

            def multiply(a: str, b: str) -> str:
                return export.builder.add("MatMulInteger", a, b, zero, zero)
        else:
            first, second = (export.int32(name) for name in node.inputs)
            zero = export.builder.constant(0, "int32")

            def multiply(a: str, b: str) -> str:
                return export.builder.add("MatMul", a, b)

        shape, reach = export.tensors[node.inputs[0]].shape, node.attributes["max_displacement"]
        band = _band(export.builder, shape, reach, first, second, zero, multiply)
        export.requantise(node, [(band, node.attributes["multiplier"], 0)], self.below(node))

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        (first, a), (second, b) = (export.operand(name) for name in node.inputs)
        zero = export.builder.constant(0, "float32")

        def multiply(left: str, right: str) -> str:
            return export.builder.add("MatMul", left, right)

        # In front of the transposition: ONNX Runtime's propagation of DequantizeLinear through a
        # Transpose makes a model of opset 21 that it then refuses.
        first = export.times(first, export.ratio(node, node.attributes["multiplier"]) / (a * b))
        shape, reach = export.tensors[node.inputs[0]].shape, node.attributes["max_displacement"]
        band = _band(export.builder, shape, reach, first, second, zero, multiply)
        export.finish(node, band, self.slopes)


def _band(
    builder: Builder, shape: Shape, reach: int, first: str, second: str, zero: str, multiply: Any
) -> str:
    """Cost volume (N, D * D, H, W), D = 2 * reach + 1, of two NCHW tensors.

    Each row of the first image is multiplied, as a matrix (W, C), with the row ``dy`` below of
    the second, (C, W + D - 1). The wanted products are the band of D diagonals of the result;
    reading it with rows that are one element longer turns the diagonals into columns. That is six
    nodes for each dy, where one shift after the other takes three for each of the D * D
    displacements, and seven times as long in ONNX Runtime.

    Args:
        shape: of the first image, NHWC.
        zero: the constant that stands for zero in ``second``, for what is outside.
        multiply: appends a matrix product of two names and returns the result's name.
    """
    batch, height, width, _ = shape
    displacements, padded = 2 * int(reach) + 1, width + 2 * int(reach)
    rows = builder.add("Transpose", first, perm=[0, 2, 3, 1])
    pads = builder.sizes(0, 0, reach, reach, 0, 0, reach, reach)
    columns = builder.add("Pad", second, pads, zero)
    columns = builder.add("Transpose", columns, perm=[0, 2, 1, 3])
    bands = []
    for dy in range(displacements):
        product = multiply(rows, builder.slice(columns, 1, dy, dy + height))
        flat = builder.add("Reshape", product, builder.sizes(batch, height, width * padded))
        flat = builder.add("Pad", flat, builder.sizes(0, 0, 0, 0, 0, width))
        skewed = builder.add("Reshape", flat, builder.sizes(batch, height, width, padded + 1))
        bands.append(builder.slice(skewed, 3, 0, displacements))
    return builder.add("Transpose", builder.add("Concat", *bands, axis=3), perm=[0, 3, 1, 2])
