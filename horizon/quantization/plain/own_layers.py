"""A layer of its own for every place of a graph in which something can be fused."""

from __future__ import annotations

import copy
import operator
from collections import Counter
from typing import Any

import torch
from torch import fx, nn

from horizon.errors import InputError
from horizon.nn import FloatFunctional
from horizon.quantization.layers import bound_call, lookup, rescale
from horizon.quantization.plain.constants import constant_nodes
from horizon.quantization.plain.tracing import (
    add_layer,
    function_of,
    held_by,
    is_real,
    layer_of,
    shape_of,
)

ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
ACTIVATION_CALLS = {*rescale.RELU.calls, *rescale.OTHERS.calls}
"""The functions and methods that do what a layer of ``fuse.ACTIVATIONS`` does."""


def own_layers(module: fx.GraphModule) -> None:
    """Change the graph: layers without weights that run in several places are copied, calls of
    activations become layers, and additions of two tensors the ``add`` of a FloatFunctional.
    """
    calls = Counter(str(node.target) for node in module.graph.nodes if node.op == "call_module")
    constants = constant_nodes(module)
    for node in list(module.graph.nodes):
        layer = layer_of(module, node)
        weightless = layer is not None and next(layer.parameters(), None) is None
        if layer is not None and weightless and calls[str(node.target)] > 1:
            calls[str(node.target)] -= 1
            node.target = add_layer(module, str(node.target), copy.deepcopy(layer))
        elif (found := _activation(node)) is not None:
            made, source = found
            with module.graph.inserting_before(node):
                target = add_layer(module, node.name, made)
                new = module.graph.call_module(target, (source,))
            replace(module, node, new)
        elif is_addition(node) and not any(x in constants for x in node.all_input_nodes):
            with module.graph.inserting_before(node):
                target = add_layer(module, node.name, FloatFunctional())
                own = module.graph.get_attr(target)
                new = module.graph.call_method("add", (own, *node.args[:2]))
            replace(module, node, new)


def replace(module: fx.GraphModule, node: fx.Node, new: fx.Node) -> None:
    """Put ``new``, with the value and the source line of ``node``, into its place."""
    new.meta["value"] = node.meta["value"]
    new.meta.setdefault("line", node.meta.get("line"))
    node.replace_all_uses_with(new)
    module.graph.erase_node(node)


def is_addition(node: fx.Node) -> bool:
    """Whether a node adds two tensors of one shape."""
    if node.target not in ADDITIONS or len(node.args) != 2 or node.kwargs:
        return False
    first, second = node.args
    return is_real(first) and is_real(second) and shape_of(first) == shape_of(second)


def addition_of(module: fx.GraphModule, node: Any) -> FloatFunctional | None:
    """The FloatFunctional whose ``add`` a node calls; None: it does not, or it is fused already."""
    if not isinstance(node, fx.Node) or node.op != "call_method" or node.target != "add":
        return None
    found = held_by(module, node.args[0])
    return found if isinstance(found, FloatFunctional) else None


def _activation(node: fx.Node) -> tuple[nn.Module, fx.Node] | None:
    """The layer that a call of an activation is, and its input; None where it is none."""
    function = function_of(node)
    by_table = len(shape_of(node)) == 2 and function in lookup.TWIN.calls
    if function not in ACTIVATION_CALLS and not by_table:
        return None
    try:
        call = bound_call(function, node.args, node.kwargs)
    except InputError:  # arguments that have no fixed-point form: preparing says so, with the place
        return None
    if call is None or not is_real(call.operands[0]):
        return None
    if any(isinstance(value, fx.Node) for value in call.config):
        return None
    return call.source(), call.operands[0]
