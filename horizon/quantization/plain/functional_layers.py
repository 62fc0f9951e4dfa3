"""Convolutions and normalisations that are written as functions become layers.

Their weights are constants: parameters, buffers, or computed from them (standardised weights, a
kernel that blurs). A computed weight becomes a parameter, which trains if what it is made of does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from horizon.quantization.plain.constants import constant_nodes
from horizon.quantization.plain.flat import parameter_of
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import add_layer, value_of


def _conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> nn.Module:  # fmt: skip
    outputs, inputs, *kernel = weight.shape
    return nn.Conv2d(
        inputs * groups, outputs, kernel, stride, padding, dilation, groups, device="meta"
    )


def _conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> nn.Module:  # fmt: skip
    inputs, outputs, *kernel = weight.shape
    return nn.ConvTranspose2d(
        inputs, outputs * groups, kernel, stride, padding, output_padding, groups, True, dilation,
        device="meta",
    )  # fmt: skip


def _batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float | None = 0.1, eps: float = 1e-5,
) -> nn.Module | None:  # fmt: skip
    if training or running_mean is None or running_var is None or input.dim() != 4:
        return None
    norm = nn.BatchNorm2d(len(running_mean), eps, momentum, affine=False)
    norm.running_mean, norm.running_var = running_mean.clone(), running_var.clone()
    return norm


LAYERS: dict[Any, Callable[..., nn.Module | None]] = {
    functional.conv2d: _conv2d,
    functional.conv_transpose2d: _conv_transpose2d,
    functional.batch_norm: _batch_norm,
}


def use_layers(module: fx.GraphModule) -> None:
    """Change the graph: these functions, with constant weights, are calls of layers."""
    constants = constant_nodes(module)
    for node in list(module.graph.nodes):
        make = LAYERS.get(node.target)
        if make is None:
            continue
        given = inspect.signature(make).bind(*node.args, **node.kwargs).arguments
        source, *others = given.values()
        if not all(x in constants or not isinstance(value_of(x), Tensor) for x in others):
            continue
        layer = make(**fx.map_arg(given, value_of))
        if layer is None:
            continue
        for name in ("weight", "bias"):
            setattr(layer, name, _parameter(module, given.get(name), constants))
        if isinstance(layer, nn.BatchNorm2d):
            layer.affine = layer.weight is not None
        with module.graph.inserting_before(node):
            new = module.graph.call_module(add_layer(module, node.name, layer), (source,))
        new.meta["line"] = node.meta.get("line")
        replace(module, node, new)


def _parameter(
    module: fx.GraphModule, node: Any, constants: dict[fx.Node, bool]
) -> nn.Parameter | None:
    if node is None:
        return None
    held = parameter_of(module, node)
    if isinstance(held, nn.Parameter):
        return held
    return nn.Parameter(torch.clone(value_of(node).detach()), constants[node])
