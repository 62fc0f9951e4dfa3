"""Concatenations in a graph: with a scale for each part where that is enough, with one where not.

A concatenation leaves the integers of its parts alone where all that reads it can take one scale
per channel: convolutions, and what only moves or selects integers. Anything else (a pooling by
averages, a sum, an activation by table) needs one scale, to which the parts are brought.
"""

from __future__ import annotations

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from horizon.nn import DeQuantStub, FloatFunctional
from horizon.quantization.expansions import stacked
from horizon.quantization.fuse import CONVOLUTIONS
from horizon.quantization.plain.flat import CONCATS, axis_of, tensors_of
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import add_layer, is_real, layer_of, shape_of
from horizon.quantization.qconfig import get_default_qat_qconfig
from horizon.quantization.survey.found import HARMLESS

# A normalisation becomes a convolution where it stands behind none.
READERS = (*CONVOLUTIONS, nn.BatchNorm2d, DeQuantStub)
PASSING_LAYERS = (nn.MaxPool2d, nn.ChannelShuffle, *HARMLESS)
PASSING = (
    *(functional.max_pool2d, torch.max_pool2d, operator.getitem, functional.dropout, *CONCATS),
    *(torch.chunk, torch.split, torch.narrow, torch.channel_shuffle, functional.pad),
    *("chunk", "split", "narrow", "contiguous", "size"),
)


def give_one_scale(module: fx.GraphModule, behind: set[str]) -> None:
    """Change the graph: a concatenation of channels that needs one scale is a layer with one.

    Args:
        behind: the names of the nodes that come behind the program.
    """
    for node in list(module.graph.nodes):
        stacks = node.target is torch.stack and len(shape_of(node)) == 5
        if (
            node.name in behind
            or not is_real(node)
            or not (stacks or (node.target in CONCATS and axis_of(node) == 1))
        ):
            continue
        if not stacks and all(_takes_scales(module, user) for user in node.users):
            continue
        layer = FloatFunctional()
        setattr(layer, "qconfig", get_default_qat_qconfig(concat="requantise"))  # noqa: B010
        with module.graph.inserting_before(node):
            own = module.graph.get_attr(add_layer(module, node.name, layer))
            new = module.graph.call_method("cat", (own, tensors_of(node), 1))
            if stacks:
                new = _stacked(module, node, new)
        replace(module, node, new)


def _stacked(module: fx.GraphModule, node: fx.Node, joined: fx.Node) -> fx.Node:
    """What ``torch.stack`` gives, of its tensors one behind the other as channels."""
    numbers = len(tensors_of(node)), axis_of(node)
    return module.graph.call_function(stacked, (joined, *numbers))


def _takes_scales(module: fx.GraphModule, user: fx.Node) -> bool:
    """Whether a node can read a tensor that has one scale per channel."""
    layer = layer_of(module, user)
    if isinstance(layer, READERS) or user.op == "output":
        return True
    if isinstance(layer, PASSING_LAYERS) or (layer is None and user.target in PASSING):
        return all(_takes_scales(module, reader) for reader in user.users)
    return False
