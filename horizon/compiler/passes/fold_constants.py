"""What follows from constants alone: summands times 0 go, equal ratios become one number."""

from __future__ import annotations

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.operators import operator_of


def fold_constants(graph: Graph) -> Graph:
    """Every node as its operator writes it most simply, with the same integers."""
    return with_nodes(graph, (operator_of(node).folded(node) for node in graph.nodes))
