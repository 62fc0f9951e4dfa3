"""A slice: a range of one axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import problem
from horizon.hbir.operators.moves import Move, Piece, axis_of, with_side
from horizon.hbir.operators.operator import Moves

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class Slice(Move):
    """``x[start:stop]`` along one axis of N, H, W, C."""

    name = "slice"
    required: ClassVar[Mapping[str, str]] = {"axis": "int", "start": "int", "stop": "int"}
    input_count = (1, 1)
    moves = Moves.CUT

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        axis, start, stop = axis_of(node), node.attributes["start"], node.attributes["stop"]
        shape = inputs[0].shape
        if not 0 <= start < stop <= shape[axis]:
            raise problem(
                node, f"start {start}, stop {stop}", f"0 <= start < stop <= {shape[axis]}"
            )
        return with_side(shape, axis, stop - start)

    def resize(self, node: Node, scale_batch: Callable[[int], int]) -> dict[str, Any]:
        if node.attributes["axis"] != 0:
            return node.attributes
        ends = {key: scale_batch(node.attributes[key]) for key in ("start", "stop")}
        return {**node.attributes, **ends}

    def fixed_axis(self, node: Node) -> int | None:
        axis: int = node.attributes["axis"]
        return axis if axis in (1, 2) else None

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        part = slice(node.attributes["start"], node.attributes["stop"])
        return inputs[0][(slice(None),) * node.attributes["axis"] + (part,)]

    def pieces(self, node: Node, shapes: Sequence[Shape]) -> list[Piece]:
        axis, start, stop = (node.attributes[key] for key in ("axis", "start", "stop"))
        return [Piece(0, axis, start, 0, stop - start)]

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        return source.shape == output.shape

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        values = node.attributes
        export.builder.slice(
            export.stored(node.inputs[0]),
            export.axis(values["axis"]),
            values["start"],
            values["stop"],
            output=export.stored(node.output),
        )

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        values = node.attributes
        export.stored[node.output] = export.builder.slice(
            export.stored[node.inputs[0]],
            export.axis(values["axis"]),
            values["start"],
            values["stop"],
        )
