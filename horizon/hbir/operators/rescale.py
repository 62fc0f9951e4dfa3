"""Rescale: another scale or type, or a clamp by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.fixed_point import requantize
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import check_multiplier, check_shift
from horizon.hbir.operators.operator import ANY, Operator

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport

RATIO = ("multiplier", "shift")


class Rescale(Operator):
    """``y = clamp((x * M + 2^(s-1)) >> s, lo, hi)``; a ReLU is M 2^23, s 23, lo 0."""

    name = "rescale"
    required: ClassVar[Mapping[str, str]] = {
        "multiplier": "int or int64 array",
        "shift": "int or int64 array",
        "lo": "int",
        "hi": "int",
    }
    optional: ClassVar[Mapping[str, str]] = {"negative_multiplier": "int or int64 array"}
    input_types = (ANY,)
    input_count = (1, 1)
    instruction = "rescale"
    columns: ClassVar[Mapping[str, str]] = {
        "multiplier": "multiplier",
        "shift": "shift",
        "negative_multiplier": "negative_multiplier",
    }
    slopes: ClassVar[Mapping[str, str]] = {"multiplier": "negative_multiplier"}
    without_unit = "fuse the activation with the convolution before it, or choose one of {others}"

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        return inputs[0].shape

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        check_multiplier(node, "multiplier", output.shape[3])
        check_shift(node, "shift", output.shape[3])

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        return requantize(
            inputs[0],
            values["multiplier"],
            values["shift"],
            values["lo"],
            values["hi"],
            values.get("negative_multiplier"),
        )

    def folded(self, node: Node) -> Node:
        """One ratio where all channels have the same, one slope where both are the same."""
        values = dict(node.attributes)
        below = values.get("negative_multiplier")
        if below is not None and np.all(np.asarray(below) == np.asarray(values["multiplier"])):
            del values["negative_multiplier"]
        keys = [key for key in (*RATIO, "negative_multiplier") if key in values]
        return replace(node, attributes=values | {key: _one(values[key]) for key in keys})

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        values = node.attributes
        within = values["lo"] <= low and high <= values["hi"]
        return source.dtype == output.dtype and within and self.only_clamps(node)

    def only_clamps(self, node: Node) -> bool:
        """Whether the ratio is exactly 1: ``(x * 2^s + 2^(s-1)) >> s`` is x."""
        if self.two_slopes(node):
            return False
        multiplier, shift = (np.asarray(node.attributes[key]) for key in RATIO)
        return bool(np.all(multiplier == np.left_shift(1, shift)))

    def pass_advice(self, node: Node) -> tuple[str, str] | None:
        if self.only_clamps(node) or self.two_slopes(node):
            found = "an activation by itself: a pass over the tensor"
            return found, "fuse it with the layer before it (fuse_modules: conv, relu)"
        found = "a change of scale by itself: a pass over the tensor"
        return found, "the type and the scale of what follows, for the layer before it"

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        summand = export.summand(node.inputs[0], node.attributes["multiplier"])
        export.requantise(node, [summand], self.below(node))

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        total = export.scaled(node, node.inputs[0], node.attributes["multiplier"])
        export.finish(node, total, self.slopes)


def _one(value: int | np.ndarray) -> int | np.ndarray:
    """The number that all channels have; both parts of a ratio may be numbers or per channel."""
    if isinstance(value, np.ndarray) and (value == value[0]).all():
        return int(value[0])
    return value
