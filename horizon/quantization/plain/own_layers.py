"""A layer of its own for every place of a graph in which something can be fused."""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from horizon.nn import FloatFunctional
from horizon.quantization.plain.tracing import add_layer, is_real, layer_of, shape_of

ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")


def own_layers(module: fx.GraphModule) -> None:
    """Change the graph: layers without weights that run in several places are copied, calls of
    activations become layers, and additions of two tensors the ``add`` of a FloatFunctional.
    """
    calls = Counter(str(node.target) for node in module.graph.nodes if node.op == "call_module")
    for node in list(module.graph.nodes):
        layer = layer_of(module, node)
        weightless = layer is not None and next(layer.parameters(), None) is None
        if layer is not None and weightless and calls[str(node.target)] > 1:
            calls[str(node.target)] -= 1
            node.target = add_layer(module, str(node.target), copy.deepcopy(layer))
        elif (made := _activation(node)) is not None:
            with module.graph.inserting_before(node):
                target = add_layer(module, node.name, made)
                new = module.graph.call_module(target, (node.args[0],))
            replace(module, node, new)
        elif is_addition(node):
            with module.graph.inserting_before(node):
                target = add_layer(module, node.name, FloatFunctional())
                own = module.graph.get_attr(target)
                new = module.graph.call_method("add", (own, *node.args[:2]))
            replace(module, node, new)


def replace(module: fx.GraphModule, node: fx.Node, new: fx.Node) -> None:
    new.meta["value"] = node.meta["value"]
    node.replace_all_uses_with(new)
    module.graph.erase_node(node)


def is_addition(node: fx.Node) -> bool:
    """Whether a node adds two tensors of one shape."""
    if node.target not in ADDITIONS or len(node.args) != 2 or node.kwargs:
        return False
    first, second = node.args
    return is_real(first) and is_real(second) and shape_of(first) == shape_of(second)


def _relu(x: Any, inplace: bool = False) -> nn.Module:
    return nn.ReLU()


def _relu6(x: Any, inplace: bool = False) -> nn.Module:
    return nn.ReLU6()


def _leaky_relu(x: Any, negative_slope: float = 0.01, inplace: bool = False) -> nn.Module:
    return nn.LeakyReLU(negative_slope)


def _hardtanh(
    x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> nn.Module:
    return nn.Hardtanh(min_val, max_val)


MAKERS: dict[Any, Callable[..., nn.Module]] = {
    functional.relu: _relu,
    functional.relu_: _relu,
    torch.relu: _relu,
    torch.relu_: _relu,
    "relu": _relu,
    "relu_": _relu,
    functional.relu6: _relu6,
    functional.leaky_relu: _leaky_relu,
    functional.leaky_relu_: _leaky_relu,
    functional.hardtanh: _hardtanh,
    functional.hardtanh_: _hardtanh,
}


def _activation(node: fx.Node) -> nn.Module | None:
    """The layer that a call of an activation is; None where it is none."""
    make = MAKERS.get(node.target) if node.op in ("call_function", "call_method") else None
    if make is None or not node.args or not is_real(node.args[0]):
        return None
    try:
        return make(*node.args, **node.kwargs)
    except TypeError:  # other arguments than these functions usually get
        return None
