"""Flat tensors (N, C) in a graph of maps (N, C, H, W): linear layers become convolutions.

Fixed point knows maps only. A flat tensor is kept as the map that it was made of; a linear layer on
it is a convolution whose kernel is as large as the map, and what follows has maps of 1x1. It
becomes flat where it leaves the network.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from horizon.quantization.fuse import ACTIVATIONS
from horizon.quantization.layers import lookup
from horizon.quantization.plain.constants import ChannelAffine
from horizon.quantization.plain.own_layers import addition_of
from horizon.quantization.plain.tracing import add_layer, held_by, layer_of, shape_of
from horizon.quantization.survey.found import HARMLESS

TWO_OPERANDS = (
    *(operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul),
    *(torch.maximum, torch.minimum),
)
CONCATS = (torch.cat, torch.concat, torch.concatenate)
SINGLE = (1, 1)
FLATTENING = (torch.flatten, torch.reshape, torch.squeeze, "flatten", "view", "reshape", "squeeze")
UNFLATTENING = (operator.getitem, torch.unsqueeze, "unsqueeze", *FLATTENING)
REDUCTIONS = {
    **dict.fromkeys((torch.mean, "mean"), "mean"),
    **dict.fromkeys((torch.sum, "sum"), "sum"),
    **dict.fromkeys((torch.amax, "amax"), "amax"),
}
ELEMENTWISE = (*ACTIVATIONS, *lookup.TWIN.modules, *HARMLESS, ChannelAffine)


def use_maps(module: fx.GraphModule, behind: set[str]) -> dict[fx.Node, fx.Node]:
    """Change the graph so that maps run through it.

    Args:
        behind: the names of the nodes that come behind the program.

    Returns:
        Of every node that gave a flat tensor and is still used: the node that gives its map.
    """
    maps: dict[fx.Node, fx.Node] = {}
    for node in list(module.graph.nodes):
        if (inner := _is_map_again(node, maps)) is not None:
            node.replace_all_uses_with(inner)
            module.graph.erase_node(node)
            continue
        with module.graph.inserting_before(node):
            new = _map_of(module, node, maps)
            if new is None and node.name not in behind:
                _flatten_before(module, node, maps)
        if new is not None:
            maps[node] = new
    for node in reversed(list(maps)):
        if not node.users:
            module.graph.erase_node(node)
            del maps[node]
    return maps


def _flatten_before(module: fx.GraphModule, node: fx.Node, maps: dict[fx.Node, fx.Node]) -> None:
    """Let another node that reads a flat tensor (a view that makes a map of another size of it,
    for the decoder behind a linear layer) read the elements of the map that stands for it.
    """
    if not node.op.startswith("call"):
        return
    for source in node.all_input_nodes:
        if source not in maps:
            continue
        flat = module.graph.call_function(torch.flatten, (maps[source], 1))
        flat.meta["value"] = source.meta["value"]
        node.replace_input_with(source, flat)


def _is_map_again(node: fx.Node, maps: dict[fx.Node, fx.Node]) -> fx.Node | None:
    """The map that a node makes of its flat tensor again; None: it makes none, or another one."""
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or source not in maps or node.target not in UNFLATTENING:
        return None
    inner = maps[source]
    shape = shape_of(node)
    return inner if shape == shape_of(inner) else None


def tensors_of(node: fx.Node) -> Any:
    """The tensors that a concatenation or a stack joins."""
    return node.args[0] if node.args else node.kwargs["tensors"]


def axis_of(node: fx.Node) -> int:
    """The axis of a concatenation or a stack, from 0 on."""
    given = node.kwargs.get("dim", node.kwargs.get("axis", 0))
    dim = node.args[1] if len(node.args) > 1 else given
    return dim % len(shape_of(node)) if isinstance(dim, int) else 0


def _joined(module: fx.GraphModule, node: fx.Node, maps: dict[fx.Node, fx.Node]) -> fx.Node | None:
    """The call of an operation on several flat tensors, with their maps; None: it has others."""
    sources = node.all_input_nodes
    if not sources or not all(source in maps for source in sources):
        return None
    shapes = [shape_of(maps[source]) for source in sources]
    if node.target in CONCATS:
        if axis_of(node) != 1 or any(shape[2:] != SINGLE for shape in shapes):
            return None
        joined = [maps[x] for x in tensors_of(node)]
        called = module.graph.call_function(torch.cat, (joined, 1))
        return _with_value(called, node)
    if node.target not in TWO_OPERANDS or len(set(shapes)) > 1 or node.kwargs:
        return None
    called = module.graph.call_function(node.target, fx.map_arg(node.args, maps.__getitem__))
    return _like(called, node, maps[sources[0]])


def _map_of(module: fx.GraphModule, node: fx.Node, maps: dict[fx.Node, fx.Node]) -> fx.Node | None:
    """A new node with the map of what ``node`` gives; None: it gives no flat tensor."""
    if len(shape_of(node)) not in (2, 3) or not node.all_input_nodes:
        return None
    if len(shape_of(node)) == 3 and node.target not in UNFLATTENING:
        return None
    layer = layer_of(module, node)
    source = node.args[0] if node.args else None
    if len(shape := shape_of(source)) == 4 and isinstance(source, fx.Node):
        return _flattened(module, node, source, shape)
    if (joined := _joined(module, node, maps)) is not None:
        return joined
    if addition_of(module, node) is not None:
        operands: Any = node.args[1:]
        if not all(x in maps for x in operands):
            return None
        added = module.graph.call_method("add", (source, *(maps[x] for x in operands)))
        return _like(added, node, maps[operands[0]])
    if not isinstance(source, fx.Node) or source not in maps:
        return None
    inner = maps[source]
    longer = shape_of(node)[:2] == shape_of(source) and math.prod(shape_of(node)[2:]) == 1
    if node.target in UNFLATTENING and shape_of(inner)[2:] == SINGLE and longer:
        return inner  # an axis of one element more
    if isinstance(layer, nn.Linear):
        return _linear(module, node, inner, layer.weight, layer.bias, str(node.target))
    if node.target is functional.linear:
        weight, bias = (parameter_of(module, x) for x in linear_parameters(node))
        if weight is None:
            return None
        return _linear(module, node, inner, weight, bias, node.name)
    if isinstance(layer, nn.BatchNorm1d) and shape_of(inner)[2:] == (1, 1):
        target = add_layer(module, str(node.target), _of_maps(layer))
        return _like(module.graph.call_module(target, (inner,)), node, inner)
    if isinstance(layer, ELEMENTWISE) and (one_slope(layer) or shape_of(inner)[2:] == (1, 1)):
        called = module.graph.call_module(str(node.target), (inner,))
        return _like(called, node, inner)
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    reduces = node.target in REDUCTIONS and shape_of(inner)[2:] == SINGLE
    if reduces and axes in (1, -1, (1,), [1], (-1,), [-1]) and len(shape_of(node)) == 2:
        pooled = module.graph.call_method(REDUCTIONS[node.target], (inner, 1, True))
        return _with_value(pooled, node)
    if node.target is functional.dropout:  # nothing, in evaluation mode
        return inner
    return None


def _flattened(
    module: fx.GraphModule, node: fx.Node, source: fx.Node, shape: tuple[int, ...]
) -> fx.Node | None:
    n, *inner = shape
    is_flat = node.target in FLATTENING or isinstance(layer_of(module, node), nn.Flatten)
    if is_flat and shape_of(node) == (n, math.prod(inner)):
        return source
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if node.target not in REDUCTIONS or not isinstance(axes, list | tuple):
        return None
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        return None
    pooled = module.graph.call_method(REDUCTIONS[node.target], (source, (2, 3), True))
    return _with_value(pooled, node)


def _linear(
    module: fx.GraphModule,
    node: fx.Node,
    source: fx.Node,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    name: str,
) -> fx.Node:
    conv = dense_convolution(weight.view(-1, *shape_of(source)[1:]), bias)
    target = add_layer(module, name, conv)
    return _with_value(module.graph.call_module(target, (source,)), node)


def dense_convolution(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Conv2d:
    """A convolution with copies of these, weight (O, C, kh, kw) and bias (O,)."""
    outputs, inputs, *kernel = weight.shape
    conv = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), bias=bias is not None)
    conv.to(weight.device, weight.dtype)
    with torch.no_grad():
        conv.weight.copy_(weight)
        if bias is not None and conv.bias is not None:
            conv.bias.copy_(bias)
    return conv


def _with_value(new: fx.Node, node: fx.Node) -> fx.Node:
    """``new`` gives maps of 1x1 with the values of ``node``."""
    new.meta["value"] = node.meta["value"][..., None, None]
    return new


def _like(new: fx.Node, node: fx.Node, inner: fx.Node) -> fx.Node:
    """``new`` gives maps of the shape of ``inner`` with the values of ``node``."""
    new.meta["value"] = node.meta["value"].reshape(shape_of(inner))
    return new


def one_slope(layer: nn.Module | None) -> bool:
    """False for a layer with numbers of its own for every channel of a flat tensor."""
    if isinstance(layer, ChannelAffine):
        return layer.weight.numel() == 1
    return not isinstance(layer, nn.PReLU) or layer.num_parameters == 1


def _of_maps(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    new = nn.BatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    new.load_state_dict(norm.state_dict())
    return new


def linear_parameters(node: fx.Node) -> tuple[Any, Any]:
    weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    return weight, bias


def parameter_of(module: fx.GraphModule, node: Any) -> torch.Tensor | None:
    """The parameter that a node stands for; None: it is none."""
    found = held_by(module, node)
    return found if isinstance(found, nn.Parameter) else None
