"""Turn zeros around a map that only convolutions read into padding of these convolutions."""

from __future__ import annotations

from dataclasses import replace

from horizon.compiler.passes.rewrite import producers, use_counts, with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.operators import operator_of


def fold_padding(graph: Graph) -> Graph:
    """Let the readers of a padded map read the unpadded map and pad themselves."""
    uses, made_by = use_counts(graph), producers(graph)
    folded = {}
    for name, maker in made_by.items():
        padding = operator_of(maker).only_pads(maker)
        if padding is None:
            continue
        readers = [node for node in graph.nodes if name in node.inputs]
        padded = [
            operator_of(node).padded(node, *padding) if node.inputs.count(name) == 1 else None
            for node in readers
            if node.inputs[0] == name
        ]
        if len(padded) == uses[name] and all(padded):
            for node, new in zip(readers, padded, strict=True):
                assert new is not None
                folded[node.name] = replace(new, inputs=(maker.inputs[0], *node.inputs[1:]))
            break  # the nodes that others read have changed
    return with_nodes(graph, [folded.get(node.name, node) for node in graph.nodes])
