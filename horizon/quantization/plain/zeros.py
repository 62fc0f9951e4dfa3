"""Tensors of zeros in a graph, as the flow with which a network begins at its coarsest level.

Adding one changes nothing, and joining one to channels is padding them.
"""

from __future__ import annotations

import torch
from torch import fx
from torch.nn import functional

from horizon.quantization.plain.flat import CONCATS, axis_of, tensors_of
from horizon.quantization.plain.grids import Grid
from horizon.quantization.plain.own_layers import is_addition, replace
from horizon.quantization.plain.tracing import is_real, shape_of, value_of


def leave_zeros_out(module: fx.GraphModule) -> None:
    """Change the graph: sums of zeros and a map are the map, concatenations with zeros padding."""
    zeros = {node for node in module.graph.nodes if _is_zero(module, node)}
    if not zeros:
        return
    for node in list(module.graph.nodes):
        operands = [x for x in node.all_input_nodes if x not in zeros]
        if node in zeros or len(operands) == len(node.all_input_nodes):
            continue
        if is_addition(node) and len(operands) == 1:
            node.replace_all_uses_with(operands[0])
            module.graph.erase_node(node)
        elif node.target in CONCATS:
            _pad_instead(module, node, zeros)
    module.graph.eliminate_dead_code()


def _is_zero(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node gives a map of zeros for any input."""
    if node.op not in ("call_function", "call_method") or len(shape_of(node)) != 4:
        return False
    return is_real(node) and not value_of(node).any() and not Grid(module, node).varies()


def _pad_instead(module: fx.GraphModule, node: fx.Node, zeros: set[fx.Node]) -> None:
    """A concatenation of channels without its zeros."""
    parts = tensors_of(node)
    empty = [x in zeros for x in parts]
    if axis_of(node) != 1 or all(empty):
        return
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
