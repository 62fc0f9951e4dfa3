"""Whether a network computes with the sizes of its maps, so that its program is for one size."""

from __future__ import annotations

from typing import Any

from torch import fx, nn
from torch.nn import functional

from horizon.quantization.plain.tracing import layer_of, shape_of

SIZES = ("size", "view", "reshape", "expand", "numel")
INTERPOLATIONS = (functional.interpolate, functional.upsample)


def computes_with_sizes(module: fx.GraphModule) -> bool:
    """Whether something in the graph depends on the size of the example.

    Sizes that are asked for, numbers in a view, and resizing to a given size.
    """
    return any(_depends(module, node) for node in module.graph.nodes)


def _depends(module: fx.GraphModule, node: fx.Node) -> bool:
    layer: Any = layer_of(module, node)
    if isinstance(layer, nn.Upsample):
        return layer.size is not None
    if node.target in INTERPOLATIONS:
        given = node.args[1] if len(node.args) > 1 else node.kwargs.get("size")
        return given is not None
    if node.target is getattr:
        return str(node.args[1]) == "shape"
    if node.op == "call_method" and node.target in SIZES:
        return len(shape_of(node)) != 2 or node.target == "size"
    return False
