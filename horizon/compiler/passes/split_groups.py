"""Make grouped convolutions dense, transposed ones too.

Machines have no grouped convolutions. They have depthwise ones, which therefore stay, unless they
are transposed.

A grouped convolution becomes several dense ones, each for a few groups. Their weights are blocks on
a diagonal with zeros around them; a product with zero adds nothing to a sum. As many groups share a
convolution as have outputs for the lanes that are computed together, so it takes no longer than a
convolution of one group.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.operators.conv2d import is_depthwise
from horizon.hbir.operators.convolution import dense

PER_CHANNEL = (
    "weight",
    "bias",
    "multiplier",
    "shift",
    "residual_multiplier",
    "negative_multiplier",
    "negative_residual_multiplier",
)
LANES = 16
"""Outputs that machines compute together, most of them."""
MOST_INPUTS = 1024
"""Of groups that share a convolution: machines limit the weights of an output."""


def split_groups(graph: Graph) -> Graph:
    """Slice the input (and the residual) by groups, convolve the parts, join the outputs."""
    nodes: list[Node] = []
    new: list[TensorInfo] = []
    for node in graph.nodes:
        if node.attributes.get("groups", 1) == 1 or is_depthwise(node):
            nodes.append(node)
        else:
            parts, tensors = _split(graph, node)
            nodes += parts
            new += tensors
    return with_nodes(graph, nodes, new)


def convolutions_of(node: Node) -> int:
    """The number of dense convolutions that a node becomes."""
    groups = node.attributes.get("groups", 1)
    if groups == 1 or is_depthwise(node):
        return int(groups)
    return int(groups // _shared(groups, node.attributes["weight"]))


def _shared(groups: int, weight: np.ndarray) -> int:
    """How many groups share a convolution: the largest divisor of ``groups`` within the lanes."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[3]
    most = max(1, min(groups, LANES // outputs, MOST_INPUTS // inputs))
    return max(count for count in range(1, most + 1) if groups % count == 0)


def _split(graph: Graph, node: Node) -> tuple[list[Node], list[TensorInfo]]:
    shared = _shared(node.attributes["groups"], node.attributes["weight"])
    count = node.attributes["groups"] // shared
    output = graph.tensors[node.output]
    nodes: list[Node] = []
    tensors: list[TensorInfo] = []

    def channels(info: TensorInfo, index: int, name: str) -> TensorInfo:
        size = info.shape[3] // count
        start = index * size
        scales = info.scales if len(info.scales) == 1 else info.scales[start : start + size]
        tensors.append(TensorInfo(name, (*info.shape[:3], size), info.dtype, scales))
        return tensors[-1]

    def sliced(name: str, source: str, index: int) -> str:
        part = channels(graph.tensors[source], index, name)
        start = index * part.shape[3]
        values = {"axis": 3, "start": start, "stop": start + part.shape[3]}
        nodes.append(Node("slice", name, (source,), name, values))
        return name

    for index in range(count):
        name = f"{node.name}.group{index}"
        operands = list(zip(("input", "residual"), node.inputs, strict=False))
        sources = operands if count > 1 else []
        parts = [sliced(f"{name}.{operand}", source, index) for operand, source in sources]
        result = channels(output, index, name) if count > 1 else output
        start = index * result.shape[3]
        own = {
            key: value[start : start + result.shape[3]] if key in PER_CHANNEL else value
            for key, value in node.attributes.items()
        }
        own |= {"groups": 1, "weight": dense(own["weight"], shared)}
        if count == 1:
            return [replace(node, attributes=own)], []
        nodes.append(replace(node, name=name, inputs=tuple(parts), output=name, attributes=own))
    joined = tuple(f"{node.name}.group{index}" for index in range(count))
    nodes.append(Node("concat", node.name, joined, node.output, {"axis": 3}))
    return nodes, tensors
