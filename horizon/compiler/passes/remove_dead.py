"""Remove nodes that no output of the program needs."""

from __future__ import annotations

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph, needed_nodes


def remove_dead(graph: Graph) -> Graph:
    """Keep the nodes that outputs depend on. All inputs stay, even if nothing reads them."""
    return with_nodes(graph, needed_nodes(graph.nodes, graph.outputs))
