"""Global pooling, and flat tensors of maps of one pixel, in the ways that people write them.

``x.flatten(2).mean(-1)`` is ``x.mean((2, 3))``. For a map of one pixel, ``x[..., 0, 0]`` and
``x.squeeze(-1).squeeze(-1)`` are ``x.flatten(1)``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from horizon.quantization.plain.flat import REDUCTIONS, SINGLE, UNFLATTENING
from horizon.quantization.plain.keep_axes import arguments_of_reduction
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import shape_of


def use_global_pools(module: fx.GraphModule) -> None:
    """Change the graph: global pooling is a reduction over rows and columns."""
    for node in list(module.graph.nodes):
        shape = shape_of(node)
        with module.graph.inserting_before(node):
            new = _reduction(module, node)
            if new is None and len(shape) == 2 and node.target in UNFLATTENING:
                pixel = _map_before(node)
                if pixel is not None and shape_of(pixel)[2:] == SINGLE:
                    new = module.graph.call_function(torch.flatten, (pixel, 1))
        if new is not None:
            replace(module, node, new)


def _reduction(module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The reduction of a map instead of that of the line of its pixels; None: it is none."""
    name = REDUCTIONS.get(node.target)
    source: Any = node.args[0] if node.args else None
    axes, keeps = arguments_of_reduction(node)
    if name is None or len(shape_of(source)) != 3 or axes not in ([2], [-1]):
        return None
    whole = _map_before(source)
    if whole is None:
        return None
    if not keeps:
        return module.graph.call_method(name, (whole, (2, 3)))
    pooled = module.graph.call_method(name, (whole, (2, 3), True))
    pooled.meta["value"] = node.meta["value"][..., None]
    return module.graph.call_function(torch.flatten, (pooled, 2))


def _map_before(node: Any) -> fx.Node | None:
    """The map (N, C, H, W) whose elements a node of shape (N, C) or (N, C, H * W) gives in their
    order; None: there is none.
    """
    images = shape_of(node)[:2]
    count = math.prod(shape_of(node))
    while isinstance(node, fx.Node) and shape_of(node)[:2] == images:
        if math.prod(shape_of(node)) != count:
            return None
        if len(shape_of(node)) == 4:
            return node
        if node.target not in UNFLATTENING:
            return None
        node = node.args[0] if node.args else None
    return None
