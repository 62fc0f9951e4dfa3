"""Which part of each operand a tile of the output needs: halos, whole maps, channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from horizon.compiler.tasks import Task
from horizon.hbm.records import Pair, Quad

Interval = tuple[int, int]  # start and stop along one axis of a tensor


@dataclass(frozen=True)
class Box:
    """A part of a tensor, NHWC."""

    start: Quad
    shape: Quad


def needed(task: Task, operand: str, axis: int, out: Interval) -> Interval | None:
    """The part of an operand's axis that ``out`` of the output's needs; None for all of it.

    Parts are inside of the operand and never empty: a tile that sees nothing but padding gets the
    nearest row or column, from which it reads nothing.

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
    side = task.operands[operand].shape[axis]
    if task.is_convolution and operand == "a":
        return _window(task, axis - 1, out, side)
    if task.op == "correlation" and operand == "b":
        reach = _attributes(task)["max_displacement"]
        return _inside(start - reach, stop + reach, side)
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
        begin, source = out.start[1 + axis], a.start[1 + axis]
        if task.op == "conv2d":
            pads.append(pad - begin * stride + source)
        else:
            pads.append(pad + begin - source * stride)
    return pads[0], pads[1]


def correlation_padding(task: Task, out: Box, b: Box) -> Pair:
    """The place of a correlation's first displacement in a part of its second operand."""
    reach = _attributes(task)["max_displacement"]
    return reach - out.start[1] + b.start[1], reach - out.start[2] + b.start[2]


def _window(task: Task, axis: int, out: Interval, side: int) -> Interval:
    values = _attributes(task)
    start, last = out[0], out[1] - 1
    pad, stride = values["padding"][axis], values["stride"][axis]
    kernel = values["weight"].shape[1 + axis]
    if task.op == "conv2d":
        reach = values["dilation"][axis] * (kernel - 1)
        return _inside(start * stride - pad, last * stride - pad + reach + 1, side)
    # out = in * stride - pad + tap, for taps 0..kernel-1
    return _inside(-((kernel - 1 - start - pad) // stride), (last + pad) // stride + 1, side)


def _inside(start: int, stop: int, side: int) -> Interval:
    start = min(max(start, 0), side - 1)
    return start, min(max(stop, start + 1), side)


def _attributes(task: Task) -> dict[str, Any]:
    assert task.node is not None
    return task.node.attributes
