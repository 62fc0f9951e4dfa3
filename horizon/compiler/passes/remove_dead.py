"""Remove nodes that no output of the program needs."""

from __future__ import annotations

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph


def remove_dead(graph: Graph) -> Graph:
    """Keep the nodes that outputs depend on. All inputs stay, even if nothing reads them."""
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            kept.append(node)
            needed.update(node.inputs)
    return with_nodes(graph, reversed(kept))
