"""Average pooling to a given size: means over equal parts of the map, or over all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from horizon.hbir.node import Node, Shape
from horizon.hbir.operators.attributes import problem
from horizon.hbir.operators.avg_pool2d import AveragePool
from horizon.hbir.operators.operator import MAP_LIMITS
from horizon.hbir.operators.pool_windows import PoolWindows
from horizon.hbir.operators.windows import equal_windows


class AdaptiveAvgPool2d(AveragePool):
    """The windows follow the input's size: ``size`` (rows, columns) of them, side by side.

    With a ``divisor`` other than 0 it divides all sums: 1 gives the sums themselves.
    """

    name = "adaptive_avg_pool2d"
    required: ClassVar[Mapping[str, str]] = {
        "size": "pair",
        **dict.fromkeys(("multiplier", "shift", "lo", "hi"), "int"),
    }
    optional: ClassVar[Mapping[str, str]] = {"divisor": "int"}

    limits = ("kernel", "input_channels", *MAP_LIMITS)

    def windows(self, node: Node, shape: Shape) -> PoolWindows:
        kernel = equal_windows(node, shape)
        _, height, width, _ = shape
        divisor = node.attributes.get("divisor", 0)
        if divisor < 0:
            raise problem(node, f"divisor {divisor}", "0, or a positive number")
        return PoolWindows(
            (height, width), kernel, kernel, (0, 0), node.attributes["size"], (0, 0), divisor
        )
