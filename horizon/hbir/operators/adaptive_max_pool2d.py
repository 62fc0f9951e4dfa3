"""Max pooling to a given size: the largest of equal parts of the map, or of all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import problem
from horizon.hbir.operators.max_pool2d import MaxPool2d
from horizon.hbir.operators.operator import MAP_LIMITS, T
from horizon.hbir.operators.windows import equal_windows
from horizon.isa.bounds import MAX_STEP


class AdaptiveMaxPool2d(MaxPool2d):
    """The windows follow the input's size: ``size`` (rows, columns) of them, side by side."""

    name = "adaptive_max_pool2d"
    required: ClassVar[Mapping[str, str]] = {"size": "pair"}
    limits = ("kernel", "input_channels", *MAP_LIMITS)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        return super().infer(self._windowed(node, inputs[0].shape), inputs)

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return super().run(self._windowed(node, inputs[0].shape), inputs)

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        return super().window(self._windowed(node, shapes[0]), shapes, operand, axis, out)

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        return super().fields(self._windowed(node, shapes[0]), shapes, out, starts)

    def limit_values(
        self, node: Node, shapes: Sequence[Shape], output: Shape
    ) -> dict[str, tuple[int, str]]:
        return super().limit_values(self._windowed(node, shapes[0]), shapes, output)

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        return super().is_identity(self._windowed(node, source.shape), source, output, low, high)

    def _onnx(self, node: Node, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
        return super()._onnx(self._windowed(node, tensors[node.inputs[0]].shape), tensors)

    def integer_onnx(self, node: Node, export: Any) -> None:
        shape = export.tensors[node.inputs[0]].shape
        super().integer_onnx(self._windowed(node, shape), export)

    def _windowed(self, node: Node, shape: Shape) -> Node:
        """The node with the windows that it has on an input of this shape."""
        if "kernel" in node.attributes:
            return node
        kernel = equal_windows(node, shape)
        if max(kernel) > MAX_STEP:
            limit = f"sides of at most {MAX_STEP}; pool twice: smaller windows"
            raise problem(node, f"windows of {kernel}", limit)
        values = {"kernel": kernel, "stride": kernel, "padding": (0, 0), "ceil": 0}
        return replace(node, attributes=values)
