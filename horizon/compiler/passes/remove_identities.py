"""Nodes that change nothing: slices of everything, concats of one, rescales by 1 in the limits."""

from __future__ import annotations

from horizon.compiler.passes.rewrite import (
    is_identity_ratio,
    producers,
    range_of,
    reading,
    with_nodes,
)
from horizon.hbir.graph import Graph, Node


def remove_identities(graph: Graph) -> Graph:
    """Let readers of such a node's output read its input; outputs of the program stay."""
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
    source = graph.tensors[node.inputs[0]]
    if node.op == "slice":
        return source.shape == graph.tensors[node.output].shape
    if node.op == "concat":
        return len(node.inputs) == 1
    if node.op != "rescale" or source.dtype != graph.tensors[node.output].dtype:
        return False
    low, high = range_of(graph, source.name, made_by)
    values = node.attributes
    return is_identity_ratio(node) and values["lo"] <= low and high <= values["hi"]
