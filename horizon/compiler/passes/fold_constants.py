"""What follows from constants alone: summands times 0 go, equal ratios become one number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph, Node


def fold_constants(graph: Graph) -> Graph:
    """Residuals and summands whose multiplier is 0 go; a rescale of equal ratios has one."""
    return with_nodes(graph, map(_folded, graph.nodes))


def _folded(node: Node) -> Node:
    values = node.attributes
    if "residual_multiplier" in values and not values["residual_multiplier"].any():
        kept = {key: value for key, value in values.items() if key != "residual_multiplier"}
        return replace(node, inputs=node.inputs[:1], attributes=kept)
    if node.op == "add" and 0 in (values["multiplier_a"], values["multiplier_b"]):
        other = 0 if values["multiplier_b"] == 0 else 1
        kept = {key: values[key] for key in ("shift", "lo", "hi")}
        kept["multiplier"] = values["multiplier_b" if other else "multiplier_a"]
        return replace(node, op="rescale", inputs=(node.inputs[other],), attributes=kept)
    if node.op == "rescale":
        return replace(node, attributes=values | {key: _one(values[key]) for key in _RATIO})
    return node


_RATIO = ("multiplier", "shift")


def _one(value: int | np.ndarray) -> int | np.ndarray:
    """The number that all channels have; both parts of a ratio may be numbers or per channel."""
    if isinstance(value, np.ndarray) and (value == value[0]).all():
        return int(value[0])
    return value
