"""Reductions over what was stacked: ``torch.stack((x, y)).sum(0)`` is ``x + y``."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from horizon.quantization.plain.flat import REDUCTIONS, axis_of, tensors_of
from horizon.quantization.plain.keep_axes import arguments_of_reduction
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import is_real, shape_of

OF_TWO: dict[str, Any] = {"sum": torch.add, "mean": torch.add, "amax": torch.maximum}


def use_operands(module: fx.GraphModule) -> None:
    """Change the graph: a reduction over the axis of a stack is an operation on its tensors."""
    for node in list(module.graph.nodes):
        stack: Any = node.args[0] if node.args else None
        name = REDUCTIONS.get(node.target)
        axes, keeps = arguments_of_reduction(node)
        if name is None or not isinstance(stack, fx.Node) or stack.target is not torch.stack:
            continue
        if keeps or axes is None or len(axes) != 1 or not is_real(stack):
            continue
        if axes[0] % len(shape_of(stack)) != axis_of(stack):
            continue
        parts = tensors_of(stack)
        with module.graph.inserting_before(node):
            new = parts[0]
            for part in parts[1:]:
                new = _joined(module, node, OF_TWO[name], new, part)
            if name == "mean":
                new = module.graph.call_function(torch.mul, (new, 1 / len(parts)))
        if new in parts:  # a stack of one
            node.replace_all_uses_with(new)
            module.graph.erase_node(node)
        else:
            replace(module, node, new)


def _joined(
    module: fx.GraphModule, node: fx.Node, function: Any, one: fx.Node, other: fx.Node
) -> fx.Node:
    """A call of ``function`` with two tensors, from the line of ``node``."""
    joined = module.graph.call_function(function, (one, other))
    joined.meta["value"] = function(one.meta["value"], other.meta["value"])
    joined.meta["line"] = node.meta.get("line")
    return joined
