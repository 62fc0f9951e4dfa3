"""The rows of an input that a kernel reads, for operators that move one over it."""

from __future__ import annotations

from horizon.hbir.node import Node, Shape
from horizon.hbir.operators.attributes import check_pairs, problem
from horizon.hbir.operators.operator import T


def rows_read(
    out: tuple[T, T], kernel: int, stride: int, pad: int, dilation: int = 1
) -> tuple[T, T]:
    """The rows (or columns) that some of the output need: ``y * stride - pad + tap * dilation``.

    Args:
        out: start and stop in the output.

    Returns:
        Start and stop in the input, of which some may lie outside.
    """
    return out[0] * stride - pad, (out[1] - 1) * stride - pad + dilation * (kernel - 1) + 1


def pad_of_part(out: int, source: int, stride: int, pad: int) -> int:
    """The padding of a part of the input, from ``source``, for a part of the output, from ``out``.

    It is negative where the part of the input begins before the first row that is read.
    """
    return int(pad - out * stride + source)


def equal_windows(node: Node, shape: Shape) -> tuple[int, int]:
    """Rows and columns of the windows that ``size`` of a node cuts a map into, side by side.

    Raises:
        InputError: windows would differ in size.
    """
    check_pairs(node, size=1)
    rows, columns = size = node.attributes["size"]
    _, height, width, _ = shape
    if height % rows or width % columns:
        raise problem(
            node,
            f"a map of {(height, width)} for an output of {size}",
            "a map whose sides are multiples of the output's (windows would differ in size)",
        )
    return height // rows, width // columns
