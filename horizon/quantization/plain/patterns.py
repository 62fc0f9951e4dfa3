"""Which layers of a graph become one: convolution, normalisation, addition, activation."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from torch import fx, nn

from horizon.nn import Correlation
from horizon.quantization.fuse import ACTIVATIONS, BATCH_NORMS, CONVOLUTIONS, fuse_modules
from horizon.quantization.plain.own_layers import addition_of
from horizon.quantization.plain.tracing import add_layer, layer_of


def fuse_graph(module: fx.GraphModule) -> None:
    """Fuse what can be, by :func:`~horizon.quantization.fuse.fuse_modules`, and change the graph.

    A layer joins the one before it where nothing else needs what that gives, and where each runs
    once.
    """
    _give_own_norms(module)
    calls = Counter(str(node.target) for node in module.graph.nodes if node.op == "call_module")
    for node in list(module.graph.nodes):
        layer = layer_of(module, node)
        if isinstance(layer, (*CONVOLUTIONS, Correlation)):
            _fuse_from(module, node, calls, isinstance(layer, CONVOLUTIONS))
    for node in list(module.graph.nodes):
        if isinstance(layer_of(module, node), nn.BatchNorm2d):
            _fuse_norm(module, node, calls)
    for node in list(module.graph.nodes):
        if addition_of(module, node) is not None:
            act = _next(module, node, ACTIVATIONS, calls)
            if act is not None:
                fuse_modules(module, [str(node.args[0].target), str(act.target)])
                _drop(module, act)


def _give_own_norms(module: fx.GraphModule) -> None:
    """Copy a normalisation that stands behind several layers, one for each of them."""
    sources: dict[str, set[str]] = {}
    norms = [n for n in module.graph.nodes if isinstance(layer_of(module, n), BATCH_NORMS)]
    for node in norms:
        sources.setdefault(str(node.target), set()).add(_name_of(node.args[0]))
    for node in norms:
        behind = sources[str(node.target)]
        if len(behind) > 1:
            behind.discard(_name_of(node.args[0]))
            own: Any = copy.copy(layer_of(module, node))
            node.target = add_layer(module, str(node.target), own)


def _name_of(node: Any) -> str:
    """The layer that a node calls; its own name where it calls none."""
    return str(node.target) if node.op == "call_module" else str(node.name)


def _fuse_from(
    module: fx.GraphModule, node: fx.Node, calls: Counter[str], convolution: bool
) -> None:
    """Fuse the layer that ``node`` calls with those behind it."""
    if calls[str(node.target)] != 1:
        _fuse_shared(module, node, calls, convolution)
        return
    chain, operand = [node], 1
    if convolution and (norm := _next(module, node, BATCH_NORMS, calls)) is not None:
        chain.append(norm)
    add = _only_user(chain[-1]) if convolution else None
    once = add is not None and add.args.count(chain[-1]) == 1
    if add is not None and once and addition_of(module, add) is not None:
        operand = add.args[1:].index(chain[-1])
        chain.append(add)
    else:
        add = None
    act = _next(module, chain[-1], ACTIVATIONS, calls)
    if act is not None:
        chain.append(act)
    if len(chain) == 1:
        return
    names = [
        str(part.args[0].target) if part is add else str(part.target)  # type: ignore[union-attr]
        for part in chain
    ]
    fuse_modules(module, names, conv_operand=operand)
    for part in chain:
        if part is not (add or chain[0]):
            _drop(module, part)


def _fuse_shared(
    module: fx.GraphModule, node: fx.Node, calls: Counter[str], convolution: bool
) -> None:
    """Fuse a layer that runs in several places (an encoder of two images) with what follows it in
    all of them: one normalisation, and equal activations.
    """
    places = [n for n in module.graph.nodes if n.op == node.op and n.target == node.target]
    if node is not places[0]:
        return
    chain = [places]
    if convolution and (norms := _next_of_all(module, places, BATCH_NORMS, calls)):
        chain.append(norms)
    if acts := _next_of_all(module, chain[-1], ACTIVATIONS, calls):
        chain.append(acts)
    if len(chain) == 1:
        return
    fuse_modules(module, [str(part[0].target) for part in chain])
    for part in chain[1:]:
        for call in part:
            _drop(module, call)


def _next_of_all(
    module: fx.GraphModule,
    places: list[fx.Node],
    kinds: tuple[type[nn.Module], ...],
    calls: Counter[str],
) -> list[fx.Node]:
    """The calls behind all of these of one layer, or of equal ones without weights; else none."""
    users = [_only_user(place) for place in places]
    layers = [layer_of(module, user) for user in users]
    if not all(isinstance(layer, kinds) for layer in layers):
        return []
    targets = {str(user.target) for user in users if user is not None}
    one = len(targets) == 1 and calls[next(iter(targets))] == len(users)
    weightless = all(layer is not None and not list(layer.parameters()) for layer in layers)
    equal = weightless and len({repr(layer) for layer in layers}) == 1
    alone = all(calls[target] == 1 for target in targets)
    return [user for user in users if user is not None] if one or (equal and alone) else []


def _fuse_norm(module: fx.GraphModule, node: fx.Node, calls: Counter[str]) -> None:
    """A normalisation behind no convolution becomes one that keeps each channel to itself."""
    norm: Any = layer_of(module, node)
    conv = nn.Conv2d(norm.num_features, norm.num_features, 1, groups=norm.num_features, bias=False)
    nn.init.ones_(conv.weight)
    with module.graph.inserting_before(node):
        target = add_layer(module, f"{node.target}_conv", conv.to(norm.running_var))
        new = module.graph.call_module(target, (node.args[0],))
    new.meta["value"] = node.meta["value"]
    node.update_arg(0, new)
    calls[target] = 1
    _fuse_from(module, new, calls, True)


def _next(
    module: fx.GraphModule, node: fx.Node, kinds: tuple[type[nn.Module], ...], calls: Counter[str]
) -> fx.Node | None:
    """The call of a layer of these kinds that alone uses what ``node`` gives."""
    user = _only_user(node)
    layer = layer_of(module, user)
    if user is None or not isinstance(layer, kinds) or calls[str(user.target)] != 1:
        return None
    return user


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def _drop(module: fx.GraphModule, node: fx.Node) -> None:
    """Take the call of a layer that is a part of another one now out of the graph."""
    source: Any = node.args[0]
    node.replace_all_uses_with(source)
    module.graph.erase_node(node)
