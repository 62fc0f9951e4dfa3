"""Largest elements: ``torch.max(x, dim, keepdim)``, of whose result only the values are used, is
``torch.amax``, and the larger one of a tensor and a number is ``torch.clamp``.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from horizon.quantization.plain.constants import constant_nodes
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import is_real, shape_of, value_of

LARGER = (torch.max, torch.maximum, "max", "maximum")
SMALLER = (torch.min, torch.minimum, "min", "minimum")


def use_clamps(module: fx.GraphModule) -> None:
    """Change the graph: the larger or smaller one of a tensor and a constant number is a clamp."""
    constants = constant_nodes(module)
    for node in list(module.graph.nodes):
        if node.target not in (*LARGER, *SMALLER) or len(node.args) != 2 or node.kwargs:
            continue
        x, bound = node.args
        if x in constants:
            x, bound = bound, x
        if bound not in constants or x in constants or not is_real(x) or constants[bound]:
            continue
        if value_of(bound).numel() != 1 or shape_of(node) != shape_of(x):
            continue
        number = float(value_of(bound))
        limits = (number, None) if node.target in LARGER else (None, number)
        with module.graph.inserting_before(node):
            new = module.graph.call_function(torch.clamp, (x, *limits))
        replace(module, node, new)


def use_amax(module: fx.GraphModule) -> None:
    """Change the graph: what takes the values of a largest element calls ``torch.amax``."""
    for node in list(module.graph.nodes):
        if node.target not in (torch.max, "max") or not node.users:
            continue
        for user in list(node.users):
            if user.target is operator.getitem and not user.users:  # values, _ = torch.max(x, 1)
                module.graph.erase_node(user)
        if not all(_takes_values(user) for user in node.users):
            continue
        source, *rest = node.args
        dim = rest[0] if rest else node.kwargs.get("dim")
        keepdim = rest[1] if len(rest) > 1 else node.kwargs.get("keepdim", False)
        for user in list(node.users):
            with module.graph.inserting_before(user):
                new = module.graph.call_function(torch.amax, (source, dim, keepdim))
            replace(module, user, new)
        module.graph.erase_node(node)


def _takes_values(user: fx.Node) -> bool:
    """Whether a node takes the first one of values and indices."""
    what: Any = user.args[1] if len(user.args) > 1 else None
    first = user.target is operator.getitem and what == 0
    return first or (user.target is getattr and what == "values")
