"""Compute once what the graph computes twice."""

from __future__ import annotations

from dataclasses import replace

from horizon.compiler.passes.rewrite import reading, with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node


def merge_identical(graph: Graph) -> Graph:
    """Let the readers of a node read an earlier node that makes the same integers.

    Nodes that make outputs of the program stay.
    """
    same: dict[str, str] = {}
    kept: dict[tuple, list[Node]] = {}
    nodes = []
    for node in graph.nodes:
        node = reading(node, same)
        key = (node.op, node.inputs, graph.tensors[node.output].dtype)
        for other in kept.setdefault(key, []):
            if other == replace(node, name=other.name, output=other.output):
                break
        else:
            kept[key].append(node)
            nodes.append(node)
            continue
        if node.output in graph.outputs:
            nodes.append(node)
        else:
            same[node.output] = other.output
    return with_nodes(graph, nodes)
