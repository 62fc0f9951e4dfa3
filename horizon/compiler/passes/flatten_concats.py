"""Merge a concat that only another concat reads into that one."""

from __future__ import annotations

from dataclasses import replace

from horizon.compiler.passes.rewrite import use_counts, with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.operators import Moves, operator_of


def flatten_concats(graph: Graph) -> Graph:
    """Join nested concats along the same axis.

    A concat with other readers stays: its buffer lies within the outer one's, and its inputs would
    otherwise belong to two concats and be copied.
    """
    uses = use_counts(graph)
    made_by: dict[str, Node] = {}
    for node in graph.nodes:
        if operator_of(node).moves is Moves.JOIN:
            axis = node.attributes["axis"]
            inputs: list[str] = []
            for name in node.inputs:
                inner = made_by.get(name)
                nested = inner and inner.op == node.op and inner.attributes["axis"] == axis
                inputs += inner.inputs if inner and nested and uses[name] == 1 else [name]
            node = replace(node, inputs=tuple(inputs))
        made_by[node.output] = node
    return with_nodes(graph, made_by.values())
