"""Addition of two tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.fixed_point import requantize_sum
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import check_multiplier, check_shift, problem
from horizon.hbir.operators.operator import ANY, Operator
from horizon.hbir.operators.rescale import Rescale

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport

MULTIPLIERS = ("multiplier_a", "multiplier_b")


class Add(Operator):
    """``y = clamp((a * Ma + b * Mb + 2^(s-1)) >> s, lo, hi)``, one rounding."""

    name = "add"
    required: ClassVar[Mapping[str, str]] = {
        "multiplier_a": "int",
        "multiplier_b": "int",
        "shift": "int",
        "lo": "int",
        "hi": "int",
    }
    optional: ClassVar[Mapping[str, str]] = {
        "negative_multiplier_a": "int",
        "negative_multiplier_b": "int",
    }
    input_types = (ANY,)
    input_count = (2, 2)
    instruction = "add"
    columns: ClassVar[Mapping[str, str]] = {
        "multiplier": "multiplier_a",
        "residual_multiplier": "multiplier_b",
        "shift": "shift",
        "negative_multiplier": "negative_multiplier_a",
        "negative_residual_multiplier": "negative_multiplier_b",
    }
    slopes: ClassVar[Mapping[str, str]] = {
        "multiplier_a": "negative_multiplier_a",
        "multiplier_b": "negative_multiplier_b",
    }
    without_unit = "fuse the addition with the convolution before it, or choose one of {others}"

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        a, b = inputs
        if a.shape != b.shape:
            raise problem(node, f"summands of shapes {a.shape}, {b.shape}", "equal shapes")
        return a.shape

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        for name in MULTIPLIERS:
            check_multiplier(node, name, output.shape[3])
        check_shift(node, "shift", output.shape[3])

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        (a, b), lo, hi = inputs, values["lo"], values["hi"]
        ratios = values["multiplier_a"], values["multiplier_b"], values["shift"]
        below = self.below(node)
        negative = None if below is None else (below[0], below[1])
        return requantize_sum(a, ratios[0], b, *ratios[1:], lo, hi, negative)

    def folded(self, node: Node) -> Node:
        """A rescale, where one summand is multiplied by 0."""
        values = node.attributes
        below = self.below(node)
        unused = [
            not values[name] and not (below and below[index])
            for index, name in enumerate(MULTIPLIERS)
        ]
        if not any(unused):
            return node
        other = 0 if unused[1] else 1
        kept = {key: values[key] for key in ("shift", "lo", "hi")}
        kept["multiplier"] = values[MULTIPLIERS[other]]
        if below is not None:
            kept["negative_multiplier"] = below[other]
        return Node(Rescale.name, node.name, (node.inputs[other],), node.output, kept)

    def pass_advice(self, node: Node) -> tuple[str, str] | None:
        found = "an addition by itself: a pass over both tensors"
        return found, "fuse it with a convolution before it (fuse_modules: conv, add)"

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        summands = [
            export.summand(name, node.attributes[key])
            for name, key in zip(node.inputs, MULTIPLIERS, strict=True)
        ]
        export.requantise(node, summands, self.below(node))

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        first, second = (
            export.scaled(node, name, node.attributes[key])
            for name, key in zip(node.inputs, MULTIPLIERS, strict=True)
        )
        export.finish(node, export.builder.add("Add", first, second), self.slopes)
