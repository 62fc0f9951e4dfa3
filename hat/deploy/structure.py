"""Whether two program graphs are of the same network, whatever their weights and layers' names."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.hbir import Graph, Node
from horizon.hbir.operators import operator_of


def first_difference(saved: Graph, described: Graph) -> str | None:
    """The first layer that differs in kind, place or sizes, in words; None if none does."""
    if len(saved.nodes) != len(described.nodes):
        return f"{len(saved.nodes)} layers there, {len(described.nodes)} in the config"
    for node, there, here in zip(saved.nodes, _layers(saved), _layers(described), strict=True):
        for key in {**there, **here}:
            if there.get(key) != here.get(key):
                texts = f"{there.get(key)} there, {here.get(key)} in the config"
                return f"layer {node.name}: {key} {texts}"
    return None


def _layers(graph: Graph) -> list[dict[str, Any]]:
    """What each layer is, apart from its name and its values."""
    places = {name: f"input {index}" for index, name in enumerate(graph.inputs)}
    places |= {node.output: f"layer {index}" for index, node in enumerate(graph.nodes)}
    tensors = graph.tensors
    return [
        {
            "kind": node.op,
            "inputs": [places[name] for name in node.inputs],
            "channels": [tensors[name].shape[3] for name in (*node.inputs, node.output)],
            "types": [tensors[name].dtype for name in (*node.inputs, node.output)],
            **{
                key: value.shape if isinstance(value, np.ndarray) else value
                for key, value in node.attributes.items()
                if key not in _values(node)
            },
        }
        for node in graph.nodes
    ]


def _values(node: Node) -> set[str]:
    """The attributes that follow from weights and scales; all others are the network's."""
    return {"lo", "hi", "multiplier", "shift", *operator_of(node).columns.values()}
