"""What concat and slice share: they move integers, along the batch or the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import problem
from horizon.hbir.operators.operator import ANY, Operator


@dataclass(frozen=True)
class Piece:
    """A part of an input that is a part of the output, along one axis.

    Attributes:
        operand: number of the input.
        axis: 0 (batch) or 3 (channels); along the others both are whole.
        source, result: where it begins in the input and in the output.
        size: along the axis.
    """

    operand: int
    axis: int
    source: int
    result: int
    size: int


class Move(Operator):
    """Its output's elements are its inputs'."""

    input_types = (ANY,)
    instruction = None

    def pieces(self, node: Node, shapes: Sequence[Shape]) -> list[Piece]:
        """What the output consists of, in order. ``shapes`` are those of the inputs."""
        raise NotImplementedError

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        types = [info.dtype for info in inputs]
        if set(types) != {output.dtype}:
            raise problem(node, f"inputs {types} and output {output.dtype}", "one type")


def axis_of(node: Node) -> int:
    """The axis that it works along; InputError where it is neither batch nor channels."""
    axis: int = node.attributes["axis"]
    if axis not in (0, 3):
        raise problem(node, f"axis {axis}", "0 (batch) or 3 (channels)")
    return axis


def with_side(shape: Sequence[int], axis: int, side: int) -> Shape:
    """``shape`` with another size along an axis."""
    batch, height, width, channels = (side if i == axis else n for i, n in enumerate(shape))
    return batch, height, width, channels
