"""Helpers of the passes: readers and producers of tensors, and graphs with other nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node, TensorInfo


def use_counts(graph: Graph) -> Counter[str]:
    """How often each tensor is read by nodes; an output of the program counts as one more."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses.update(graph.outputs)
    return uses


def producers(graph: Graph) -> dict[str, Node]:
    """The node that makes each tensor. Inputs of the program have none."""
    return {node.output: node for node in graph.nodes}


def with_nodes(graph: Graph, nodes: Iterable[Node], new: Iterable[TensorInfo] = ()) -> Graph:
    """``graph`` with these nodes in place of its own; ``new`` adds tensors."""
    nodes = tuple(nodes)
    known = graph.tensors | {info.name: info for info in new}
    names = [*graph.inputs, *(node.output for node in nodes)]
    return replace(graph, nodes=nodes, tensors={name: known[name] for name in names})


def reading(node: Node, names: Mapping[str, str]) -> Node:
    """``node`` with its inputs replaced where ``names`` has a new name for them."""
    if not any(name in names for name in node.inputs):
        return node
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))


def range_of(graph: Graph, name: str, made_by: Mapping[str, Node]) -> tuple[int, int]:
    """Limits of a tensor's integers: the clamp of its node if it has one, else its type's."""
    node = made_by.get(name)
    if node and "lo" in node.attributes:
        return node.attributes["lo"], node.attributes["hi"]
    return LIMITS[graph.tensors[name].dtype]
