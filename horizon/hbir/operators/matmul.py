"""Matrix product of two tensors: each pixel of the first with all pixels of the second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class MatMul(Operator):
    """Matrix products, one for each image and head, then requantised.

    A head is a group of neighbouring channels. A map is a matrix with a row for each pixel and a
    column for each channel of the head, as it lies in memory. With j = jy * width of b + jx, the
    number of a pixel of b::

        transposed 1:  acc[y, x, h * J + j] = sum_c a[y, x, h * I + c] * b[jy, jx, h * I + c]
        transposed 0:  acc[y, x, h * O + o] = sum_j a[y, x, h * J + j] * b[jy, jx, h * O + o]

    J is the number of b's pixels, I and O are the channels of a head of b.
    """

    name = "matmul"
    required: ClassVar[Mapping[str, str]] = {
        "heads": "int",
        "transposed": "int",
        "multiplier": "int",
        "shift": "int",
        "lo": "int",
        "hi": "int",
    }
    input_types = (NARROW,)
    input_count = (2, 2)
    instruction = "matmul"
    products = Products.MATRIX
    columns: ClassVar[Mapping[str, str]] = {"multiplier": "multiplier", "shift": "shift"}
    cuts_channels = False
    limits = ("input_channels", "output_channels", *MAP_LIMITS)
    whole_note = "all pixels of the second input, and all channels of the output for one pixel"

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        (batch, height, width, channels), other = inputs[0].shape, inputs[1].shape
        heads, transposed = (node.attributes[key] for key in ("heads", "transposed"))
        if transposed not in (0, 1):
            raise problem(node, f"transposed {transposed}", "0 or 1")
        if heads < 1 or other[3] % heads:
            raise problem(node, f"{heads} heads of {other[3]} channels", "a divisor, at least 1")
        pixels = other[1] * other[2]
        wanted = other[3] if transposed else heads * pixels
        if other[0] != batch or channels != wanted:
            raise problem(
                node,
                f"inputs of shapes {inputs[0].shape}, {other}",
                f"one batch, and {wanted} channels of the first",
            )
        return batch, height, width, heads * pixels if transposed else other[3]

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        check_multiplier(node, "multiplier", output.shape[3])
        check_shift(node, "shift", output.shape[3])
        first, second = (-LIMITS[info.dtype][0] for info in inputs)
        # The second input's largest values stand for the weights.
        summands = self.channels_read(node, [info.shape for info in inputs])
        weight = np.full((1, summands), second)
        prove_no_overflow(weight, np.zeros(1, np.int64), first, f"layer {node.name}")

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        heads = values["heads"]
        # (N, heads, pixels, channels of a head)
        left, right = (
            x.reshape(len(x), -1, heads, x.shape[3] // heads).transpose(0, 2, 1, 3) for x in inputs
        )
        if values["transposed"]:
            right = right.swapaxes(2, 3)
        # Sums below 2^28 are exact in float64, whose matrix product is far faster.
        acc = left.astype(np.float64) @ right.astype(np.float64)
        acc = acc.transpose(0, 2, 1, 3).reshape(*inputs[0].shape[:3], -1)
        acc = checked_accumulator(node, acc)
        return requantize(acc, values["multiplier"], values["shift"], values["lo"], values["hi"])

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        """All of b's image for any pixel of the output."""
        if axis == 3 or (operand == 1 and axis > 0):
            return None
        return out

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        return {"transposed": bool(node.attributes["transposed"])}

    def taps(self, node: Node) -> float:
        return 1.0

    def channels_read(self, node: Node, shapes: Sequence[Shape]) -> int:
        return shapes[0][3] // int(node.attributes["heads"])

    def macs(self, node: Node, shapes: Sequence[Shape], output: Shape) -> int:
        return math.prod(output) * self.channels_read(node, shapes)

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        add = export.builder.add
        if all(export.tensors[name].dtype == "int8" for name in node.inputs):
            first, second = (export.stored(name) for name in node.inputs)
            first, second = self._matrices(node, export, first, second)
            zero = export.builder.constant(128, "uint8")
            product = add("MatMulInteger", second, first, zero, zero)
        else:
            first, second = (export.int32(name) for name in node.inputs)
            first, second = self._matrices(node, export, first, second)
            product = add("MatMul", second, first)
        product = self._map(node, export, product)
        export.requantise(node, [(product, node.attributes["multiplier"], 0)])

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        # The movements are in front of DequantizeLinear: ONNX Runtime's propagation of it through a
        # Reshape or Transpose makes a model of opset 21 that it then refuses.
        stored = self._matrices(node, export, *(export.stored[name] for name in node.inputs))
        (first, a), (second, b) = map(export.moved_operand, node.inputs, stored)
        product = self._map(node, export, export.builder.add("MatMul", second, first))
        factor = export.ratio(node, node.attributes["multiplier"]) / (a * b)
        export.finish(node, export.times(product, factor), self.slopes)

    def _matrices(
        self, node: Node, export: IntegerExport | QdqExport, first: str, second: str
    ) -> tuple[str, str]:
        """NCHW tensors as matrices whose product, the second times the first, is NCHW again."""
        values, builder = node.attributes, export.builder

        def matrix(tensor: str, name: str) -> str:
            batch, height, width, channels = export.tensors[name].shape
            heads = int(values["heads"])
            sides = builder.sizes(batch, heads, channels // heads, height * width)
            return builder.add("Reshape", tensor, sides)

        first, second = matrix(first, node.inputs[0]), matrix(second, node.inputs[1])
        if values["transposed"]:
            second = builder.add("Transpose", second, perm=[0, 1, 3, 2])
        return first, second

    def _map(self, node: Node, export: IntegerExport | QdqExport, product: str) -> str:
        batch, height, width, channels = export.tensors[node.output].shape
        sides = export.builder.sizes(batch, channels, height, width)
        return export.builder.add("Reshape", product, sides)
