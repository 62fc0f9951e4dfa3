"""Let slices read the tensor that their integers come from, past other slices and concats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.operators import Moves, operator_of


def simplify_slices(graph: Graph) -> Graph:
    """Merge slices of slices; let a slice within one input of a concat read that input."""
    made_by: dict[str, Node] = {}
    nodes = []
    for node in graph.nodes:
        if operator_of(node).moves is Moves.CUT:
            node = _simplified(graph, node, made_by)
        made_by[node.output] = node
        nodes.append(node)
    return with_nodes(graph, nodes)


def _simplified(graph: Graph, node: Node, made_by: Mapping[str, Node]) -> Node:
    axis, start, stop = (node.attributes[key] for key in ("axis", "start", "stop"))
    source = node.inputs[0]
    while (maker := made_by.get(source)) and maker.attributes.get("axis") == axis:
        if operator_of(maker).moves is Moves.CUT:
            source = maker.inputs[0]
            begin = maker.attributes["start"]
            start, stop = start + begin, stop + begin
            continue
        begin = 0
        for name in maker.inputs:
            end = begin + graph.tensors[name].shape[axis]
            if begin <= start and stop <= end:
                break
            begin = end
        else:
            break  # It spans several of the concat's inputs.
        source = name
        start, stop = start - begin, stop - begin
    return replace(node, inputs=(source,), attributes={"axis": axis, "start": start, "stop": stop})
