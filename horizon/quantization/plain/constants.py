"""Arithmetic with constants in a graph: several operations in a row become one per channel.

``(x - mean) / std * gamma + beta`` is ``weight * x + bias`` for each channel. Behind a convolution
or a normalisation both go into what that has; elsewhere they are a convolution of 1x1 that keeps
each channel to itself, and is fused as convolutions are.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from horizon.errors import InputError
from horizon.quantization.fuse import CONVOLUTIONS
from horizon.quantization.layers.affine import FORMS, OPERATIONS, check_constant
from horizon.quantization.plain.tracer import MAKERS
from horizon.quantization.plain.tracing import (
    add_layer,
    function_of,
    is_real,
    layer_of,
    shape_of,
    value_of,
)
from horizon.quantization.weight_order import order_of

PYTHONS: dict[Any, Any] = {
    **dict.fromkeys((operator.add, operator.iadd), torch.add),
    **dict.fromkeys((operator.sub, operator.isub), torch.sub),
    **dict.fromkeys((operator.mul, operator.imul), torch.mul),
    **dict.fromkeys((operator.truediv, operator.itruediv), torch.div),
    operator.neg: torch.neg,
}
"""Operators of Python, as functions of torch."""
SWAPPED = {"add": "add", "mul": "mul", "sub": "rsub", "rsub": "sub"}
FACTORIES = (
    *(getattr(torch, name) for name in MAKERS),
    *(torch.zeros_like, torch.ones_like, torch.full_like),
    *("new_zeros", "new_ones", "new_full", "new_tensor"),
)
"""Functions and methods whose result does not depend on the values of tensors."""
EXPANDING = (
    *(torch.broadcast_to, torch.Tensor.expand, torch.Tensor.expand_as, torch.Tensor.repeat),
    *("expand", "expand_as", "repeat", "broadcast_to"),
)
"""What repeats a constant; of another tensor it takes the sizes alone."""
NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)


class ChannelAffine(nn.Module):
    """``weight * x + bias`` of x (N, C, ...); weight and bias (C,) or, for all channels, (1,)."""

    def __init__(self, weight: Tensor, bias: Tensor, trains: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, trains)
        self.bias = nn.Parameter(bias, trains)

    def forward(self, x: Tensor) -> Tensor:
        view = (-1, *(1,) * (x.dim() - 2))
        return x * self.weight.view(view) + self.bias.view(view)


@dataclass
class _Form:
    """A node as a function of another: ``factor * source + shift``, float64 (1,) or (C,)."""

    source: fx.Node
    factor: Tensor
    shift: Tensor
    trains: bool = False
    scales: bool = True
    """Whether it only multiplies by positive numbers, which changes the scale alone."""


def take_constants(module: fx.GraphModule) -> None:
    """Change the graph: operations of a tensor and constants become a :class:`ChannelAffine`.

    What has no such form (a constant of every pixel, a division by 0) is left alone: preparing
    says why, with the place.
    """
    constants = constant_nodes(module)
    forms: dict[fx.Node, _Form] = {}
    for node in list(module.graph.nodes):
        form = None if node in constants else _form(node, constants)
        if form is None:
            continue
        before = forms.get(form.source)
        if before is not None and len(form.source.users) == 1:
            del forms[form.source]
            form.source, form.shift = before.source, form.factor * before.shift + form.shift
            form.factor = form.factor * before.factor
            form.trains, form.scales = form.trains or before.trains, form.scales and before.scales
        forms[node] = form
    calls = _calls(module)
    replaced: dict[fx.Node, fx.Node] = {}
    for node, form in forms.items():
        source = replaced.get(form.source, form.source)
        changes = form.trains or bool((form.factor != 1).any()) or bool(form.shift.any())
        if not changes and shape_of(node) == shape_of(source):
            replaced[node] = source
            node.replace_all_uses_with(source)
            _erase(module, node)
            continue
        if form.scales and len(shape_of(node)) == 4 and _taking(module, source, calls) is None:
            continue
        like = next((x for x in module.parameters()), form.factor.float())
        factor, shift = (x.to(like) for x in torch.broadcast_tensors(form.factor, form.shift))
        layer = ChannelAffine(factor.clone(), shift.clone(), form.trains)
        with module.graph.inserting_before(node):
            target = add_layer(module, node.name, layer)
            new = replaced[node] = module.graph.call_module(target, (source,))
        new.meta["value"] = node.meta["value"]
        node.replace_all_uses_with(new)
        _erase(module, node)


def fold_constants(module: fx.GraphModule) -> None:
    """Change the graph, of maps: every :class:`ChannelAffine` becomes a part of the layer before
    it, or a convolution.
    """
    for node in list(module.graph.nodes):
        affine = layer_of(module, node)
        if not isinstance(affine, ChannelAffine) or len(shape_of(node)) != 4:
            continue
        source: Any = node.args[0]
        taking = _taking(module, source, _calls(module))
        inputs, outputs = shape_of(source)[1], shape_of(node)[1]
        weight, bias = (x.detach().expand(outputs) for x in (affine.weight, affine.bias))
        trains = affine.weight.requires_grad
        if taking is not None and inputs == outputs:
            own = taking.weight is not None and taking.weight.requires_grad
            folded = _with_constants(taking, weight, bias, trains or own)
            _put(module, source, folded)
            node.replace_all_uses_with(source)
            module.graph.erase_node(node)
        else:
            conv = nn.Conv2d(inputs, outputs, 1, groups=inputs)
            assert conv.bias is not None
            conv.weight = nn.Parameter(weight.reshape(-1, 1, 1, 1).clone(), trains)
            conv.bias = nn.Parameter(bias.clone(), trains)
            _put(module, node, conv)


def fold_sizes(module: fx.GraphModule) -> None:
    """Change the graph: numbers that follow from constants alone (the size of a kernel) stand in
    the calls that use them.
    """
    known: set[fx.Node] = set()
    for node in list(module.graph.nodes):
        sources = node.all_input_nodes
        if node.op != "get_attr" and not (sources and known.issuperset(sources)):
            continue
        known.add(node)
        value = value_of(node)
        if any(isinstance(x, Tensor) for x in tree_leaves(value)) or node.op == "output":
            continue

        def number(x: fx.Node, node: fx.Node = node, value: Any = value) -> Any:
            return value if x is node else x

        for user in list(node.users):
            user.args = fx.map_arg(user.args, number)
            user.kwargs = fx.map_arg(user.kwargs, number)
    module.graph.eliminate_dead_code()


def constant_nodes(module: fx.GraphModule) -> dict[fx.Node, bool]:
    """The nodes that give constant tensors, and whether a parameter in them is trained."""
    found: dict[fx.Node, bool] = {}
    for node in module.graph.nodes:
        if not isinstance(value_of(node), Tensor):
            continue
        if node.op == "get_attr":
            *path, name = str(node.target).split(".")
            held = getattr(module.get_submodule(".".join(path)), name)
            found[node] = isinstance(held, nn.Parameter) and held.requires_grad
            continue
        sources = node.all_input_nodes
        if node.target in FACTORIES:  # which takes no more than sizes and types from its arguments
            found[node] = False
            continue
        tensors = [x for x in sources if isinstance(value_of(x), Tensor)]
        if node.target in EXPANDING:
            tensors = tensors[:1]
        if node.op.startswith("call") and tensors and all(x in found for x in tensors):
            found[node] = any(found[x] for x in tensors)
    return found


def _form(node: fx.Node, constants: dict[fx.Node, bool]) -> _Form | None:
    """The form of one operation; None where a node is none."""
    function = function_of(node)
    name = OPERATIONS.get(PYTHONS.get(function, function))
    if name is None or not is_real(node) or set(node.kwargs) - {"other"}:
        return None
    if len(shape_of(node)) not in (2, 4):  # maps, and flat tensors of maps
        return None
    operands = [*node.args, *node.kwargs.values()]
    if name == "neg":
        operands.append(-1.0)
    if len(operands) != 2:
        return None
    (x, constant), swapped = operands, False
    if not is_real(x) or x in constants:
        x, constant, swapped = constant, x, True
    if swapped:
        if name not in SWAPPED:
            return None
        name = SWAPPED[name]
    if not isinstance(x, fx.Node) or x in constants or not is_real(x):
        return None
    if _changes(node) and len(x.users) > 1:
        return None
    value = _value(x, node, constant, constants)
    if value is None:
        return None
    try:
        check_constant(name, value)
    except InputError:
        return None
    factor, shift = (torch.as_tensor(part, dtype=torch.float64) for part in FORMS[name](value))
    scales = name in ("mul", "div") and value.numel() == 1 and float(value) > 0
    trains = isinstance(constant, fx.Node) and constants[constant]
    return _Form(
        x, factor.view(-1), shift.view(-1), trains, scales and not isinstance(constant, fx.Node)
    )


def _value(
    x: fx.Node, node: fx.Node, constant: Any, constants: dict[fx.Node, bool]
) -> Tensor | None:
    """A constant operand, float64 (1,) or (C,); None where it is none, or differs otherwise."""
    if isinstance(constant, int | float) and not isinstance(constant, bool):
        return torch.tensor([float(constant)], dtype=torch.float64)
    if not isinstance(constant, fx.Node) or constant not in constants:
        return None
    value, own = value_of(constant).detach().double(), shape_of(x)
    if value.dim() > len(own) or len(own) not in (2, 4):
        return None
    if value.numel() and shape_of(node) == own and bool((value == value.reshape(-1)[0]).all()):
        return value.reshape(-1)[:1]
    value = value.reshape((1,) * (len(own) - value.dim()) + tuple(value.shape))
    if constant.target in EXPANDING or not constants[constant]:
        for axis in range(len(own)):
            first = value.narrow(axis, 0, 1)
            value = first if axis != 1 and torch.equal(first.expand_as(value), value) else value
    shape = tuple(value.shape)
    channels = shape_of(node)[1:2]
    if any(side != 1 for axis, side in enumerate(shape) if axis != 1):
        return None
    if channels != own[1:2] and (len(own) == 2 or own[1] != 1):
        return None
    return value.reshape(-1)


def _changes(node: fx.Node) -> bool:
    """Whether an operation changes its operand in place."""
    name = getattr(node.target, "__name__", str(node.target))
    return name.endswith("_") or name in ("iadd", "isub", "imul", "itruediv")


def _taking(module: fx.GraphModule, source: fx.Node, calls: Counter[str]) -> Any:
    """The layer that ``source`` calls, if constants behind it can become a part of it."""
    layer = layer_of(module, source)
    alone = len(source.users) == 1 and calls[str(source.target)] == 1
    if not alone or not isinstance(layer, (*CONVOLUTIONS, *NORMS, nn.Linear)):
        return None
    # What something computes at each call is for preparing to refuse.
    return layer if "weight" in layer._parameters else None


def _with_constants(layer: Any, weight: Tensor, bias: Tensor, trains: bool) -> Any:
    """A copy of a convolution or a normalisation that gives ``weight * (what it gave) + bias``."""
    layer = copy.copy(layer)
    layer._parameters = dict(layer._parameters)
    own = torch.ones_like(weight) if layer.weight is None else layer.weight.detach()
    old = torch.zeros_like(bias) if layer.bias is None else layer.bias.detach()
    if isinstance(layer, CONVOLUTIONS):
        factors = order_of(layer).per_output(weight, own)
    else:
        factors = weight.view(-1, *[1] * (own.dim() - 1))
        layer.affine = True
    layer.weight = nn.Parameter(own * factors, trains)
    layer.bias = nn.Parameter(old * weight + bias, trains)
    return layer


def _put(module: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    """Let ``node`` call this layer, under the name of the one that it has called."""
    *path, name = str(node.target).split(".")
    setattr(module.get_submodule(".".join(path)), name, layer.train(module.training))


def _calls(module: fx.GraphModule) -> Counter[str]:
    return Counter(str(node.target) for node in module.graph.nodes if node.op == "call_module")


def _erase(module: fx.GraphModule, node: fx.Node) -> None:
    """Erase a node that nothing uses, and what only it has used of operations with constants."""
    sources = node.all_input_nodes
    module.graph.erase_node(node)
    for source in sources:
        if not source.users and source.op in ("call_function", "call_method", "get_attr"):
            _erase(module, source)
