"""Simplify by constants: remove summands times 0, replace equal ratios by one number."""

from __future__ import annotations

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.operators import operator_of


def fold_constants(graph: Graph) -> Graph:
    """Replace every node by the simplest equivalent that its operator knows; integers stay."""
    return with_nodes(graph, (operator_of(node).folded(node) for node in graph.nodes))
