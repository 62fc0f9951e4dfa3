"""The end of a network that is computed after its program, in real numbers."""

from __future__ import annotations

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from horizon.quantization.plain.tracing import layer_of, shape_of

# What has no fixed-point form and usually comes last.
LAST = (
    *(functional.softmax, functional.log_softmax, torch.softmax, torch.log_softmax),
    *("softmax", "log_softmax", torch.argmax, "argmax"),
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
        moves = node.target in MOVING or isinstance(layer_of(module, node), nn.Flatten)
        shape = shape_of(node)
        alone = all(user.op == "output" or user.name in tail for user in node.users)
        if moves and alone and shape and len(shape) != 4:
            tail.add(node.name)
    return tail
