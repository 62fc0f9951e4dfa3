"""Multiplication of two tensors, element by element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.fixed_point import requantize
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import check_multiplier, check_shift, problem
from horizon.hbir.operators.operator import NARROW, Operator, T

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class Mul(Operator):
    """``y = clamp((a * b * M + 2^(s-1)) >> s, lo, hi)``, one rounding.

    Each side of ``b`` is that of ``a`` or 1: along a side of 1 all elements have the same factor,
    (N, 1, 1, C) one for each channel, (N, H, W, 1) one for each pixel. A product of two int16 is at
    most 2^30, times M at most 2^54, so that it fits int64.
    """

    name = "mul"
    required: ClassVar[Mapping[str, str]] = {
        "multiplier": "int",
        "shift": "int",
        "lo": "int",
        "hi": "int",
    }
    input_types = (NARROW,)
    input_count = (2, 2)
    instruction = "mul"
    columns: ClassVar[Mapping[str, str]] = {"multiplier": "multiplier", "shift": "shift"}

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        a, b = inputs
        if any(other not in (1, side) for side, other in zip(a.shape, b.shape, strict=True)):
            found = f"factors of shapes {a.shape}, {b.shape}"
            raise problem(node, found, "each side of the second that of the first, or 1")
        return a.shape

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        check_multiplier(node, "multiplier", output.shape[3])
        check_shift(node, "shift", output.shape[3])

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        ratio = values["multiplier"], values["shift"]
        return requantize(inputs[0] * inputs[1], *ratio, values["lo"], values["hi"])

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        spread = operand == 1 and shapes[1][axis] != shapes[0][axis]
        return None if spread else out

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        product = export.builder.add("Mul", *(export.int32(name) for name in node.inputs))
        export.requantise(node, [(product, node.attributes["multiplier"], 0)])

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        (a, step), (b, other) = (export.operand(name) for name in node.inputs)
        product = export.builder.add("Mul", a, b)
        factor = export.ratio(node, node.attributes["multiplier"]) / (step * other)
        export.finish(node, export.times(product, factor), self.slopes)
