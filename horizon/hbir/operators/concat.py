"""Concatenation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import problem
from horizon.hbir.operators.moves import Move, Piece, axis_of, with_side
from horizon.hbir.operators.operator import MAP_LIMITS, Moves

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class Concat(Move):
    """Join along one axis of N, H, W, C; the integers stay as they are."""

    name = "concat"
    required: ClassVar[Mapping[str, str]] = {"axis": "int"}
    input_count = (1, 2**31)
    moves = Moves.JOIN
    limits = ("output_channels", *MAP_LIMITS)
    typed_inputs = 2**31

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        axis = axis_of(node)
        shape = inputs[0].shape
        for info in inputs[1:]:
            if any(shape[i] != info.shape[i] for i in range(4) if i != axis):
                raise problem(
                    node,
                    f"inputs of shapes {[i.shape for i in inputs]}",
                    f"shapes equal but for axis {axis}",
                )
        return with_side(shape, axis, sum(info.shape[axis] for info in inputs))

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs, axis=node.attributes["axis"])

    def pieces(self, node: Node, shapes: Sequence[Shape]) -> list[Piece]:
        axis, begin, found = node.attributes["axis"], 0, []
        for operand, shape in enumerate(shapes):
            found.append(Piece(operand, axis, 0, begin, shape[axis]))
            begin += shape[axis]
        return found

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        return len(node.inputs) == 1

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        inputs = [export.stored(name) for name in node.inputs]
        axis = export.axis(node.attributes["axis"])
        export.builder.add("Concat", *inputs, output=export.stored(node.output), axis=axis)

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        inputs = [export.stored[name] for name in node.inputs]
        axis = export.axis(node.attributes["axis"])
        export.stored[node.output] = export.builder.add("Concat", *inputs, axis=axis)
