"""Zeros that are joined to a map's channels (the first state of a recurrent unit) are padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.nn import functional

from horizon.quantization.plain.constants import constant_nodes
from horizon.quantization.plain.flat import CONCATS
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import shape_of, value_of


def pad_with_zeros(module: fx.GraphModule) -> None:
    """Change the graph: concatenations of channels have no parts that are constant zeros."""
    constants = constant_nodes(module)
    for node in list(module.graph.nodes):
        if node.target not in CONCATS or len(shape_of(node)) != 4:
            continue
        parts: Any = node.args[0] if node.args else node.kwargs["tensors"]
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        empty = [x in constants and not bool(value_of(x).any()) for x in parts]
        if dim not in (1, -3) or not any(empty) or all(empty):
            continue
        with module.graph.inserting_before(node):
            new = _joined(module, parts, empty)
        new.meta["line"] = node.meta.get("line")
        replace(module, node, new)


def _joined(module: fx.GraphModule, parts: list[fx.Node], empty: list[bool]) -> fx.Node:
    """The other parts, each with the zeros behind it; the first one with those before it too."""
    first = empty.index(False)
    joined: list[fx.Node] = []
    for place in [i for i, zeros in enumerate(empty) if not zeros]:
        end = next((i for i in range(place + 1, len(parts)) if not empty[i]), len(parts))
        before = sum(shape_of(x)[1] for x in parts[:first]) if place == first else 0
        after = sum(shape_of(x)[1] for x in parts[place + 1 : end])
        part = parts[place]
        if before or after:
            sides = (0, 0, 0, 0, before, after)
            value = functional.pad(value_of(part), sides)
            part = module.graph.call_function(functional.pad, (part, sides))
            part.meta["value"] = value
        joined.append(part)
    if len(joined) == 1:
        return joined[0]
    return module.graph.call_function(torch.cat, (joined, 1))
