"""Grouped convolutions become one convolution for each group, which is all that machines have."""

from __future__ import annotations

from dataclasses import replace

from horizon.compiler.passes.rewrite import with_nodes
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node, TensorInfo

PER_CHANNEL = (
    "weight",
    "bias",
    "multiplier",
    "shift",
    "residual_multiplier",
    "negative_multiplier",
    "negative_residual_multiplier",
)


def split_groups(graph: Graph) -> Graph:
    """Slice the input (and the residual) by groups, convolve each, join the outputs."""
    nodes: list[Node] = []
    new: list[TensorInfo] = []
    for node in graph.nodes:
        if node.attributes.get("groups", 1) == 1:
            nodes.append(node)
        else:
            parts, tensors = _split(graph, node)
            nodes += parts
            new += tensors
    return with_nodes(graph, nodes, new)


def _split(graph: Graph, node: Node) -> tuple[list[Node], list[TensorInfo]]:
    groups = node.attributes["groups"]
    output = graph.tensors[node.output]
    nodes: list[Node] = []
    tensors: list[TensorInfo] = []

    def channels(info: TensorInfo, group: int, name: str) -> TensorInfo:
        count = info.shape[3] // groups
        start = group * count
        scales = info.scales if len(info.scales) == 1 else info.scales[start : start + count]
        tensors.append(TensorInfo(name, (*info.shape[:3], count), info.dtype, scales))
        return tensors[-1]

    for group in range(groups):
        name = f"{node.name}.group{group}"
        sources = []
        for operand, source in zip(("input", "residual"), node.inputs, strict=False):
            info = graph.tensors[source]
            part = channels(info, group, f"{name}.{operand}")
            start = group * part.shape[3]
            values = {"axis": 3, "start": start, "stop": start + part.shape[3]}
            nodes.append(Node("slice", part.name, (source,), part.name, values))
            sources.append(part.name)
        result = channels(output, group, name)
        start = group * result.shape[3]
        own = {
            key: value[start : start + result.shape[3]] if key in PER_CHANNEL else value
            for key, value in node.attributes.items()
        }
        own["groups"] = 1
        nodes.append(replace(node, name=name, inputs=tuple(sources), output=name, attributes=own))
    joined = tuple(f"{node.name}.group{group}" for group in range(groups))
    nodes.append(Node("concat", node.name, joined, node.output, {"axis": 3}))
    return nodes, tensors
