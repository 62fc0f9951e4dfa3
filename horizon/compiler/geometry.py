"""Which part of each operand a tile of the output needs: halos, whole maps, channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from horizon.compiler.tasks import Task
from horizon.hbir.operators import operator_of
from horizon.hbir.operators.operator import T
from horizon.hbm.records import Quad

Interval = tuple[int, int]  # start and stop along one axis of a tensor
NUMBER = {"a": 0, "b": 1}  # which input of the node an operand is


@dataclass(frozen=True)
class Box:
    """A part of a tensor, NHWC."""

    start: Quad
    shape: Quad


def needed(task: Task, operand: str, axis: int, out: Interval) -> Interval | None:
    """The part of an operand, along one axis, that the interval ``out`` of the output needs.

    None means all of it. Parts lie within the operand and are never empty: a tile that sees only
    padding gets the nearest row or column and does not use it. Parts are counted from the operand's
    first element, also if the operand is itself a part of a tensor.

    Args:
        operand: "a", "b" or "out".
    """
    part = _needed(task, operand, axis, out)
    if part is None or axis in (0, 3):
        return part
    source = task.operands[operand]
    return _inside(part[0], part[1], source.shape[axis])


def needed_places(
    task: Task, operand: str, axis: int, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``needed`` for many intervals at once; it must not be None for them."""
    part = _needed(task, operand, axis, (starts, stops))
    assert part is not None
    side = task.operands[operand].shape[axis]
    low = np.clip(part[0], 0, side - 1)
    return np.asarray(low), np.asarray(np.clip(part[1], low + 1, side))


def whole_map(task: Task, operand: str) -> bool:
    """Whether any part of the output may need any row of the operand."""
    return needed(task, operand, 1, (0, 1)) is None


def tensor_part(task: Task, operand: str, axis: int, out: tuple[T, T]) -> tuple[T, T] | None:
    """The part of a whole input that an interval of the whole output needs.

    The part may reach beyond the input.

    Args:
        out: start and stop, or arrays of them.

    Returns:
        None for all of it.
    """
    if operand == "out" or task.node is None:
        return out
    operator = operator_of(task.node)
    return operator.window(task.node, task.shapes, NUMBER[operand], axis, out)


def _needed(task: Task, operand: str, axis: int, out: tuple[T, T]) -> tuple[T, T] | None:
    """``tensor_part``, counted from the operands' first elements."""
    first = task.out.start[axis]
    part = tensor_part(task, operand, axis, (out[0] + first, out[1] + first))
    if part is None:
        return None
    begin = task.out.start[axis] if operand == "out" else _start(task, operand, axis)
    return part[0] - begin, part[1] - begin


def _start(task: Task, operand: str, axis: int) -> int:
    return task.out.start[axis] if task.node is None else task.operands[operand].start[axis]


def box_of(task: Task, operand: str, out: Box) -> Box:
    """The part of an operand that a tile of the output needs."""
    shape = task.operands[operand].shape
    parts = [
        needed(task, operand, axis, (begin, begin + side)) or (0, shape[axis])
        for axis, (begin, side) in enumerate(zip(out.start, out.shape, strict=True))
    ]
    (n, n_end), (y, y_end), (x, x_end), (c, c_end) = parts
    return Box((n, y, x, c), (n_end - n, y_end - y, x_end - x, c_end - c))


def instruction_fields(task: Task, boxes: dict[str, Box]) -> dict[str, Any]:
    """The fields of the instruction that computes a part, besides limits, table and weights.

    Args:
        boxes: the parts of the output and of the operands.
    """
    node = task.computed
    places = {
        name: _moved(operand.start, boxes[name].start) for name, operand in task.operands.items()
    }
    starts = [places[name] for name in NUMBER if name in places]
    return operator_of(node).fields(node, task.shapes, places["out"], starts)


def _moved(start: Quad, by: Quad) -> Quad:
    n, y, x, c = (a + b for a, b in zip(start, by, strict=True))
    return n, y, x, c


def _inside(start: int, stop: int, side: int) -> Interval:
    start = min(max(start, 0), side - 1)
    return start, min(max(stop, start + 1), side)
