"""Dense layers on maps whose channels come last, (N, H, W, C), as mixing networks write them.

A linear layer there is a 1x1 convolution of the map with its channels in their usual place, and an
elementwise layer does not see the order. So the exchange of axes moves behind such layers, until it
meets the one back, which takes it away.
"""

from __future__ import annotations

import operator
from typing import Any, cast

import torch
from torch import fx, nn
from torch.nn import functional

from horizon.quantization.layers import lookup
from horizon.quantization.plain.constants import constant_nodes
from horizon.quantization.plain.flat import (
    ELEMENTWISE,
    dense_convolution,
    linear_parameters,
    one_slope,
    parameter_of,
)
from horizon.quantization.plain.own_layers import addition_of
from horizon.quantization.plain.tracing import add_layer, function_of, layer_of, shape_of, value_of

ARITHMETIC = (
    *(operator.add, operator.sub, operator.mul, operator.truediv),
    *(torch.add, torch.sub, torch.mul, torch.div),
)
LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def move_channels_first(module: fx.GraphModule) -> None:
    """Change the graph so that dense and elementwise layers see maps (N, C, H, W)."""
    maps: dict[fx.Node, fx.Node] = {}
    for node in list(module.graph.nodes):
        axes = _axes(node)
        source: Any = node.args[0] if node.args else None
        if axes == LAST and isinstance(source, fx.Node):
            maps[node] = source
        elif axes == FIRST and source in maps:
            node.replace_all_uses_with(maps[source])
            module.graph.erase_node(node)
        else:
            with module.graph.inserting_before(node):
                new = _of_map(module, node, maps)
                if new is None:
                    continue
                new.meta["value"] = node.meta["value"].permute(*FIRST)
                back = module.graph.call_method("permute", (new, *LAST))
            back.meta["value"] = node.meta["value"]
            maps[back] = new
            node.replace_all_uses_with(back)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()


def _axes(node: fx.Node) -> tuple[int, ...] | None:
    """The order into which a node brings the axes of its first argument; None: it does not."""
    if node.target not in ("permute", torch.permute) or len(shape_of(node)) != 4:
        return None
    given: Any = node.args[1:]
    if len(given) == 1 and isinstance(given[0], list | tuple):
        given = given[0]
    if len(given) != 4 or not all(isinstance(axis, int) for axis in given):
        return None
    return tuple(axis % 4 for axis in given)


def _of_map(module: fx.GraphModule, node: fx.Node, maps: dict[fx.Node, fx.Node]) -> fx.Node | None:
    """The call of a layer with maps whose channels come first; None: it cannot have such."""
    if addition_of(module, node) is not None:
        own, *operands = cast(Any, node.args)
        if all(x in maps for x in operands):
            return module.graph.call_method("add", (own, *(maps[x] for x in operands)))
        return None
    if (scaled := _with_constant(module, node, maps)) is not None:
        return scaled
    source: Any = node.args[0] if node.args else None
    if source not in maps:
        return None
    layer = layer_of(module, node)
    if function_of(node) in lookup.TWIN.calls:
        return module.graph.create_node(
            node.op, node.target, (maps[source], *node.args[1:]), dict(node.kwargs)
        )
    if isinstance(layer, nn.Linear):
        return _pointwise(module, maps[source], layer.weight, layer.bias, str(node.target))
    if node.target is functional.linear:
        weight, bias = (parameter_of(module, x) for x in linear_parameters(node))
        return None if weight is None else _pointwise(module, maps[source], weight, bias, node.name)
    if isinstance(layer, ELEMENTWISE) and one_slope(layer):
        return module.graph.call_module(str(node.target), (maps[source],))
    return None


def _with_constant(
    module: fx.GraphModule, node: fx.Node, maps: dict[fx.Node, fx.Node]
) -> fx.Node | None:
    """An operation with numbers, or with constants of the channels, which are last, (C,)."""
    if node.target not in ARITHMETIC or len(node.args) != 2 or node.kwargs:
        return None
    constants, operands = constant_nodes(module), []
    for x in node.args:
        if x in maps:
            operands.append(maps[cast(fx.Node, x)])
        elif x in constants and len(shape_of(x)) == 1:
            view = module.graph.call_method("view", (x, -1, 1, 1))
            view.meta["value"] = value_of(x).view(-1, 1, 1)
            operands.append(view)
        elif isinstance(x, int | float):
            operands.append(x)  # type: ignore[arg-type]
    if len(operands) != 2:
        return None
    return module.graph.call_function(cast(Any, node.target), tuple(operands))


def _pointwise(
    module: fx.GraphModule,
    source: fx.Node,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    name: str,
) -> fx.Node:
    conv = dense_convolution(weight[..., None, None], bias)
    return module.graph.call_module(add_layer(module, name, conv), (source,))
