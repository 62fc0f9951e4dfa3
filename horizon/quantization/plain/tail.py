"""The end of a network that is computed after its program, in real numbers."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.quantization.plain.flat import CONCATS, tensors_of
from horizon.quantization.plain.tracing import layer_of, shape_of, value_of

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
# What brings axes into another order, so that a map is a map no more.
EXCHANGING = (
    *(torch.permute, torch.transpose, torch.movedim, torch.moveaxis, torch.swapaxes),
    *("permute", "transpose", "movedim", "moveaxis", "swapaxes"),
)
# What only moves elements, of tensors that are no maps.
MOVING = (
    *EXCHANGING,
    *(torch.reshape, torch.flatten, torch.unflatten, torch.cat, operator.getitem),
    *(torch.squeeze, torch.unsqueeze, torch.stack),
    *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous"),
)


def find_tail(module: fx.GraphModule) -> set[str]:
    """The names of the nodes that come behind the program.

    Those without a fixed-point form that usually come last, and movements of flat tensors or of
    tensors with other axes than a map, whose results only such nodes read, or nobody. Behind the
    program a view is a reshape: its elements may lie in another order.
    """
    tail: set[str] = set()
    for node in module.graph.nodes:
        if _is_softmax(module, node):
            tail |= {node.name, *_following(module, node)}
        if node.target in CONCATS and not _is_map(node) and not _joins_flat(node):
            tail |= _following(module, node)
    for node in reversed(module.graph.nodes):
        moves = node.target in MOVING or isinstance(layer_of(module, node), nn.Flatten)
        ends = node.target in ENDING or (moves and not _is_map(node))
        if ends and _alone(node, tail):
            tail.add(node.name)
    for node in module.graph.nodes:
        if node.name in tail and node.target == "view":
            node.target = "reshape"
    return tail


def _is_softmax(module: fx.GraphModule, node: fx.Node) -> bool:
    return node.target in LAST or isinstance(layer_of(module, node), LAST_LAYERS)


def _is_map(node: fx.Node) -> bool:
    """Whether a node gives a map, or no tensor."""
    return len(shape_of(node)) in (0, 4) and not _exchanged(node)


def _exchanged(node: Any) -> bool:
    """Whether a node only moves elements whose axes it, or what it reads, has exchanged."""
    if not isinstance(node, fx.Node) or node.target not in MOVING or node.target in CONCATS:
        return False
    return node.target in EXCHANGING or (bool(node.args) and _exchanged(node.args[0]))


def _joins_flat(node: fx.Node) -> bool:
    """Whether a concatenation is of flat tensors (N, C), as those before a linear layer."""
    parts = tensors_of(node)
    return len(shape_of(node)) == 2 and not any(_exchanged(part) for part in parts)


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


def refuse_joins(module: fx.GraphModule, quantised: set[fx.Node]) -> None:
    """InputError where what comes behind the program meets a quantised tensor again.

    Args:
        quantised: the nodes of the program.
    """
    after: dict[fx.Node, fx.Node] = {}  # what follows from which softmax
    for node in module.graph.nodes:
        causes = [after[x] for x in node.all_input_nodes if x in after]
        if node not in quantised and (causes or _is_softmax(module, node)):
            after[node] = causes[0] if causes else node
        elif node in quantised and causes and isinstance(value_of(node), Tensor):
            cause, line = causes[0], node.meta.get("line") or "forward()"
            name = getattr(cause.target, "__name__", str(cause.target))
            raise InputError(
                f"prepare: {line}: {node.name} joins a quantised tensor and what follows from "
                f"{name} ({cause.meta.get('line') or 'forward()'}), which is computed in floating "
                "point, after the program; a network may not go on with both in layers with "
                f"weights: use torch.sigmoid instead of {name}, or let the network end before it"
            )
