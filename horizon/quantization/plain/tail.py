"""The end of a network that is computed after its program, in real numbers."""

from __future__ import annotations

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from horizon.quantization.plain.flat import CONCATS
from horizon.quantization.plain.tracing import layer_of, shape_of

# What has no fixed-point form and usually comes last.
LAST = (
    *(functional.softmax, functional.log_softmax, torch.softmax, torch.log_softmax),
    *("softmax", "log_softmax", torch.argmax, "argmax"),
)
# What is computed there only where nothing else follows.
ENDING = (
    *(functional.normalize, functional.cosine_similarity, functional.pairwise_distance),
    *(torch.norm, "norm", torch.topk, "topk", torch.sort, "sort", torch.argmin, "argmin"),
)
LAST_LAYERS = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d)
# What only moves elements, of tensors that are no maps.
MOVING = (
    *(torch.reshape, torch.flatten, torch.unflatten, torch.permute, torch.transpose, torch.cat),
    *(torch.squeeze, torch.unsqueeze, torch.stack, torch.movedim, operator.getitem),
    *("view", "reshape", "flatten", "unflatten", "permute", "transpose", "squeeze", "unsqueeze"),
    *("contiguous", "movedim"),
)


def find_tail(module: fx.GraphModule) -> set[str]:
    """The names of the nodes that come behind the program.

    Those without a fixed-point form that usually come last, and movements of flat tensors or of
    tensors with other axes than a map, whose results only such nodes read, or nobody.
    """
    tail: set[str] = set()
    for node in reversed(module.graph.nodes):
        if node.target in LAST or isinstance(layer_of(module, node), LAST_LAYERS):
            tail.add(node.name)
            continue
        if node.target in ENDING and _alone(node, tail):
            tail.add(node.name)
            continue
        moves = node.target in MOVING or isinstance(layer_of(module, node), nn.Flatten)
        shape = shape_of(node)
        if moves and _alone(node, tail) and shape and len(shape) != 4:
            tail.add(node.name)
    for node in module.graph.nodes:
        if node.target in CONCATS and len(shape_of(node)) not in (0, 2, 4):
            tail |= _following(module, node)
    return tail


def _alone(node: fx.Node, tail: set[str]) -> bool:
    """Whether nothing before the end of the program reads a node."""
    return all(user.op == "output" or user.name in tail for user in node.users)


def _following(module: fx.GraphModule, node: fx.Node) -> set[str]:
    """The names of a node and of all that follow it; none where one of these has weights.

    What several maps were joined to, as the boxes of several levels, is a map no more.
    """
    found, left = {node}, [node]
    while left:
        for user in left.pop().users:
            layer = layer_of(module, user)
            if user.op == "output" or user in found:
                continue
            if layer is not None and (next(layer.parameters(), None) is not None):
                return set()
            found.add(user)
            left.append(user)
    return {one.name for one in found}
