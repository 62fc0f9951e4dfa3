"""Average pooling to a given size: means over equal parts of the map, or over all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from horizon.hbir.node import Node, Shape
from horizon.hbir.operators.attributes import check_pairs, problem
from horizon.hbir.operators.avg_pool2d import AveragePool
from horizon.hbir.operators.operator import MAP_LIMITS
from horizon.hbir.operators.pool_windows import PoolWindows


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
        check_pairs(node, size=1)
        rows, columns = size = node.attributes["size"]
        _, height, width, _ = shape
        if height % rows or width % columns:
            raise problem(
                node,
                f"a map of {(height, width)} for an output of {size}",
                "a map whose sides are multiples of the output's (windows would differ in size)",
            )
        kernel = height // rows, width // columns
        divisor = node.attributes.get("divisor", 0)
        if divisor < 0:
            raise problem(node, f"divisor {divisor}", "0, or a positive number")
        return PoolWindows((height, width), kernel, kernel, (0, 0), size, (0, 0), divisor)
