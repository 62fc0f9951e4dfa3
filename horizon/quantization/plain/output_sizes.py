"""Transposed convolutions that are called with an ``output_size`` get the padding that it means."""

from __future__ import annotations

import copy
from collections import Counter

from torch import fx, nn

from horizon.quantization.plain.tracing import add_layer, layer_of, shape_of


def fix_output_sizes(module: fx.GraphModule) -> None:
    """Change the graph: ``output_padding`` of the layer instead of ``output_size`` in the call.

    The size is that for the example. A layer that runs in several places stays with its weights in
    each and has a padding of its own there.
    """
    calls = Counter(str(node.target) for node in module.graph.nodes if node.op == "call_module")
    for node in module.graph.nodes:
        layer = layer_of(module, node)
        if not isinstance(layer, nn.ConvTranspose2d) or len(node.args) + len(node.kwargs) < 2:
            continue
        if calls[str(node.target)] > 1:
            layer = copy.copy(layer)
            layer._parameters = dict(layer._parameters)
            node.target = add_layer(module, str(node.target), layer)
        source = node.args[0] if node.args else node.kwargs["input"]
        layer.output_padding = _padding_for(layer, shape_of(source)[-2:], shape_of(node)[-2:])
        node.args, node.kwargs = (source,), {}


def _padding_for(
    layer: nn.ConvTranspose2d, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[int, ...]:
    """The output padding that makes a map of ``after`` of one of ``before``, (rows, columns)."""
    more = []
    for axis in (0, 1):
        step, reach = layer.stride[axis], layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        least = (before[axis] - 1) * step - 2 * int(layer.padding[axis]) + reach
        more.append(after[axis] - least)
    return tuple(more)
