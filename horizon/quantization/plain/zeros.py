"""Tensors of zeros in a graph, as the flow with which a network begins at its coarsest level.

Adding one changes nothing, and joining one to channels is padding them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.nn import functional

from horizon.quantization.plain.flat import CONCATS
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
    """A concatenation of channels with zeros before or behind all that is none."""
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    tensors: Any = node.args[0] if node.args else node.kwargs.get("tensors", [])
    kept = [i for i, x in enumerate(tensors) if x not in zeros]
    if dim not in (1, -3) or not kept or kept != list(range(kept[0], kept[-1] + 1)):
        return
    before, inside, behind = (
        [tensors[i] for i in range(*ends)]
        for ends in ((0, kept[0]), (kept[0], kept[-1] + 1), (kept[-1] + 1, len(tensors)))
    )
    padding = [sum(shape_of(x)[1] for x in part) for part in (before, behind)]
    with module.graph.inserting_before(node):
        joined = module.graph.call_function(torch.cat, (inside, 1))
        joined.meta["value"] = torch.cat([value_of(x) for x in inside], 1)
        new = module.graph.call_function(functional.pad, (joined, (0, 0, 0, 0, *padding)))
    replace(module, node, new)
