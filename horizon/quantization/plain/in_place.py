"""Operations that change their operand in place: what reads it afterwards reads their result."""

from __future__ import annotations

import operator
from typing import Any

from torch import Tensor, fx

from horizon.quantization.plain.tracing import layer_of, value_of

OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


def use_results(module: fx.GraphModule) -> None:
    """Change the graph, as traced: no tensor is read under a name that it had before a change.

    Of a tensor and its parts (views), only the one that is changed is followed.
    """
    order = {node: place for place, node in enumerate(module.graph.nodes)}
    for node in list(module.graph.nodes):
        changed: Any = node.args[0] if node.args else node.kwargs.get("input")
        if not isinstance(value_of(changed), Tensor) or not _changes(module, node):
            continue
        for user in list(changed.users):
            if order[user] > order[node]:
                user.replace_input_with(changed, node)
        node.target = OPERATORS.get(node.target, node.target)


def _changes(module: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(layer_of(module, node), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.startswith("__") and name != "requires_grad_"
    name = getattr(node.target, "__name__", "")
    named = name.endswith("_") and not name.startswith("_")
    return node.target in OPERATORS or bool(node.kwargs.get("inplace")) or named
