"""The rows of an input that a kernel reads, for operators that move one over it."""

from __future__ import annotations

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
