"""What concat and slice share: they move integers, along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from horizon.errors import InputError
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import problem
from horizon.hbir.operators.operator import ANY, Operator


@dataclass(frozen=True)
class Piece:
    """A part of an input that is a part of the output, along one axis.

    Attributes:
        operand: number of the input.
        axis: of N, H, W, C; along the others both are whole.
        source, result: where it begins in the input and in the output.
        size: along the axis.
    """

    operand: int
    axis: int
    source: int
    result: int
    size: int

    @property
    def is_view(self) -> bool:
        """Whether it can lie in the other tensor's memory: whole maps, of some images or channels.

        Rows and columns are copied: a layer that reads a part of a map from a larger one would
        see its neighbours where the padding belongs.
        """
        return self.axis in (0, 3)


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
    """The axis that it works along; InputError where it is none of N, H, W, C."""
    axis: int = node.attributes["axis"]
    if not 0 <= axis < 4:
        raise problem(node, f"axis {axis}", "0 (batch), 1 (rows), 2 (columns) or 3 (channels)")
    return axis


def with_side(shape: Sequence[int], axis: int, side: int) -> Shape:
    """``shape`` with another size along an axis."""
    batch, height, width, channels = (side if i == axis else n for i, n in enumerate(shape))
    return batch, height, width, channels


def check_side(layer: str, axis: int, known: int, found: int) -> None:
    """InputError where rows (axis 1) or columns (2) are cut of another number than is known.

    Which ones a network takes of a larger map cannot be told from those that it took of this one.
    """
    if found != known:
        what = "rows" if axis == 1 else "columns"
        raise InputError(
            f"layer {layer} cuts {what} of a map that has {found}; expected {known}, as in the "
            "network's example: prepare and convert the network with an example of the size that "
            "it shall run with"
        )
