"""Exchange of a map's pixels and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import check_pairs, problem
from horizon.hbir.operators.operator import ANY, MAP_LIMITS, Operator, T

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class Transpose(Operator):
    """``y[c // width, c % width, h * P + p] = x[p // W, p % W, h * C + c]``, exactly.

    Each head (group of C neighbouring channels) of the input is a matrix with a row for each of
    its P pixels; the output has that matrix transposed. Its C pixels lie in a map of ``size``.
    """

    name = "transpose"
    required: ClassVar[Mapping[str, str]] = {"heads": "int", "size": "pair"}
    input_types = (ANY,)
    input_count = (1, 1)
    instruction = "transpose"
    cuts_channels = False
    cuts_map = False
    limits = ("input_channels", "output_channels", *MAP_LIMITS)
    whole_note = "whole maps are exchanged with their channels"

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        check_pairs(node, size=1)
        batch, height, width, channels = inputs[0].shape
        heads, (rows, columns) = node.attributes["heads"], node.attributes["size"]
        if heads < 1 or channels != heads * rows * columns:
            found = f"{heads} heads of {rows}x{columns} in {channels} channels"
            raise problem(node, found, "as many channels as the pixels of all heads")
        return batch, rows, columns, heads * height * width

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        if output.dtype != inputs[0].dtype:
            raise problem(node, f"output {output.dtype}", f"the input's {inputs[0].dtype}")
        for info in (*inputs, output):
            if len(set(info.scales)) > 1:
                raise problem(node, f"several scales of {info.name}", "one for all channels")

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        (x,), heads = inputs, node.attributes["heads"]
        matrices = x.reshape(len(x), -1, heads, x.shape[3] // heads).transpose(0, 3, 2, 1)
        return matrices.reshape(len(x), *node.attributes["size"], -1)

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        return out if axis == 0 else None

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        source, result = export.stored(node.inputs[0]), export.stored(node.output)
        self._onnx(node, export, source, result)

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        export.stored[node.output] = self._onnx(node, export, export.stored[node.inputs[0]])

    def _onnx(
        self, node: Node, export: IntegerExport | QdqExport, stored: str, output: str | None = None
    ) -> str:
        builder, heads = export.builder, int(node.attributes["heads"])
        batch, height, width, channels = export.tensors[node.inputs[0]].shape
        sides = builder.sizes(batch, heads, channels // heads, height * width)
        matrices = builder.add("Reshape", stored, sides)
        matrices = builder.add("Transpose", matrices, perm=[0, 1, 3, 2])
        sides = builder.sizes(batch, heads * height * width, *node.attributes["size"])
        return builder.add("Reshape", matrices, sides, output=output)
