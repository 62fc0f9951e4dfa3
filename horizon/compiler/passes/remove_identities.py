"""Remove nodes without effect: full slices, concats of one, rescales by 1 that clamp nothing."""

from __future__ import annotations

from horizon.compiler.passes.rewrite import (
    producers,
    range_of,
    reading,
    with_nodes,
)
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.operators import operator_of


def remove_identities(graph: Graph) -> Graph:
    """Let readers of such a node read its input. Nodes that make outputs of the program stay."""
    made_by = producers(graph)
    same: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        node = reading(node, same)
        if node.output not in graph.outputs and _is_identity(graph, node, made_by):
            same[node.output] = node.inputs[0]
        else:
            nodes.append(node)
    return with_nodes(graph, nodes)


def _is_identity(graph: Graph, node: Node, made_by: dict[str, Node]) -> bool:
    source, output = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    low, high = range_of(graph, source.name, made_by)
    return operator_of(node).is_identity(node, source, output, low, high)
