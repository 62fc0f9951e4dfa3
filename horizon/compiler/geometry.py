"""Which part of each operand a tile of the output needs: halos, whole maps, channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from horizon.compiler.tasks import Task
from horizon.hbm.records import Pair, Quad

Interval = tuple[int, int]  # start and stop along one axis of a tensor
T = TypeVar("T", int, np.ndarray)


@dataclass(frozen=True)
class Box:
    """A part of a tensor, NHWC."""

    start: Quad
    shape: Quad


def needed(task: Task, operand: str, axis: int, out: Interval) -> Interval | None:
    """The part of an operand's axis that ``out`` of the output's needs; None for all of it.

    Parts are inside of the operand and never empty: a tile that sees nothing but padding gets the
    nearest row or column, from which it reads nothing. Where the task's operands are parts of
    tensors themselves, parts are counted from the operands' first elements.

    Args:
        operand: "a", "b" or "out".
    """
    start, stop = out
    if operand == "out":
        return out
    if axis == 3:
        # These read all channels of the operand for each channel of the output.
        whole = (task.is_convolution and operand == "a") or task.op == "correlation"
        return None if whole or (task.op == "warp" and operand == "b") else out
    if axis == 0:
        return out
    if task.op == "warp" and operand == "a":
        return None
    first = task.out.start[axis]
    part = tensor_part(task, operand, axis, (start + first, stop + first))
    source = task.operands[operand]
    begin, side = source.start[axis], source.shape[axis]
    return _inside(part[0] - begin, part[1] - begin, side)


def needed_sizes(
    task: Task, operand: str, axis: int, starts: np.ndarray, stops: np.ndarray
) -> np.ndarray:
    """The sizes of ``needed`` for many parts at once, where it is not None."""
    if operand == "out" or axis in (0, 3):
        return stops - starts
    first = task.out.start[axis]
    begin, end = tensor_part(task, operand, axis, (starts + first, stops + first))
    source = task.operands[operand]
    low = np.clip(begin - source.start[axis], 0, source.shape[axis] - 1)
    high = np.clip(end - source.start[axis], low + 1, source.shape[axis])
    return np.asarray(high - low)


def tensor_part(task: Task, operand: str, axis: int, out: tuple[T, T]) -> tuple[T, T]:
    """The rows (columns) of a whole input that some of the whole output's need, inside or not.

    Args:
        axis: 1 or 2.
        out: start and stop, or arrays of them.
    """
    if task.is_convolution and operand == "a":
        return _window(task, axis - 1, out)
    if task.op == "correlation" and operand == "b":
        reach = _attributes(task)["max_displacement"]
        return out[0] - reach, out[1] + reach
    return out


def box_of(task: Task, operand: str, out: Box) -> Box:
    """The part of an operand that a tile of the output needs."""
    shape = task.operands[operand].shape
    parts = [
        needed(task, operand, axis, (begin, begin + side)) or (0, shape[axis])
        for axis, (begin, side) in enumerate(zip(out.start, out.shape, strict=True))
    ]
    (n, n_end), (y, y_end), (x, x_end), (c, c_end) = parts
    return Box((n, y, x, c), (n_end - n, y_end - y, x_end - x, c_end - c))


def local_padding(task: Task, out: Box, a: Box) -> Pair:
    """The padding of a convolution of a part of its input to a part of its output."""
    values = _attributes(task)
    pads = []
    for axis in (0, 1):
        pad, stride = values["padding"][axis], values["stride"][axis]
        begin = task.out.start[1 + axis] + out.start[1 + axis]
        source = task.a.start[1 + axis] + a.start[1 + axis]
        if task.op == "conv2d":
            pads.append(pad - begin * stride + source)
        else:
            pads.append(pad + begin - source * stride)
    return pads[0], pads[1]


def correlation_padding(task: Task, out: Box, b: Box) -> Pair:
    """The place of a correlation's first displacement in a part of its second operand."""
    assert task.b is not None
    reach = _attributes(task)["max_displacement"]
    top, left = (
        reach - (task.out.start[axis] + out.start[axis]) + (task.b.start[axis] + b.start[axis])
        for axis in (1, 2)
    )
    return top, left


def _window(task: Task, axis: int, out: tuple[T, T]) -> tuple[T, T]:
    values = _attributes(task)
    start, last = out[0], out[1] - 1
    pad, stride = values["padding"][axis], values["stride"][axis]
    kernel = values["weight"].shape[1 + axis]
    if task.op == "conv2d":
        reach = values["dilation"][axis] * (kernel - 1)
        return start * stride - pad, last * stride - pad + reach + 1
    # out = in * stride - pad + tap, for taps 0..kernel-1
    return -((kernel - 1 - start - pad) // stride), (last + pad) // stride + 1


def _inside(start: int, stop: int, side: int) -> Interval:
    start = min(max(start, 0), side - 1)
    return start, min(max(stop, start + 1), side)


def _attributes(task: Task) -> dict[str, Any]:
    assert task.node is not None
    return task.node.attributes
