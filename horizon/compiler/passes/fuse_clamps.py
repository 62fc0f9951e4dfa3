"""Move a rescale by exactly 1, which only clamps, into the limits of the layer before it.

A rescale by another ratio is not fused: one rounding in place of two would change the result.
"""

from __future__ import annotations

from dataclasses import replace

from horizon.compiler.passes.rewrite import use_counts, with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.operators import operator_of


def fuse_clamps(graph: Graph) -> Graph:
    """Move the limits into the node before if nothing else reads that node's output."""
    uses = use_counts(graph)
    made_by: dict[str, Node] = {}
    for node in graph.nodes:
        before = made_by.get(node.inputs[0]) if operator_of(node).only_clamps(node) else None
        if before and "lo" in before.attributes and uses[before.output] == 1:
            del made_by[before.output]
            node = replace(before, output=node.output, attributes=_clamped(before, node))
        made_by[node.output] = node
    return with_nodes(graph, made_by.values())


def _clamped(before: Node, clamp: Node) -> dict:
    """Two clamps as one: its limits are the first limits, clamped by the second."""
    low, high = clamp.attributes["lo"], clamp.attributes["hi"]
    limits = {key: min(max(before.attributes[key], low), high) for key in ("lo", "hi")}
    return before.attributes | limits
