"""Offsets of warps in a graph: int16 from the layers that make them, int8 where that is too wide.

A flow of 8 bits would move pixels in steps of a 127th of the largest motion. So the layers that
make a flow give 16 bits, and convolutions with many products and tables, which take 8 bits only,
read a copy of 8 bits.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT
from horizon.nn import FloatFunctional, GridSample, QuantStub
from horizon.quantization.expansions import QUOTIENTS
from horizon.quantization.fuse import CONVOLUTIONS, FusedConv
from horizon.quantization.layers import lookup
from horizon.quantization.plain.constants import PYTHONS
from horizon.quantization.plain.sizes import INTERPOLATIONS
from horizon.quantization.plain.tracing import add_layer, function_of, held_by, layer_of, shape_of
from horizon.quantization.qconfig import get_default_qat_qconfig

MARGIN = 2
"""Room for a flow twice as large as any that calibration met."""
PRODUCTS = ACCUMULATOR_LIMIT // (127 * 32768)
"""How many products of an int8 weight and an int16 activation an accumulator holds for sure."""
KEEPING_LAYERS = (nn.Upsample, nn.Identity, nn.Dropout, nn.Dropout2d)
KEEPING = (
    *(*INTERPOLATIONS, functional.pad, functional.dropout, operator.getitem, torch.narrow),
    *(torch.chunk, torch.split, torch.flip, torch.roll),
    *("contiguous", "clone", "detach", "chunk", "split", "narrow", "flip", "roll"),
)
"""What gives as many bits as it takes."""


def widen_offsets(module: fx.GraphModule) -> None:
    """Change the graph, of fused layers: every offset of a warp has 16 bits."""
    wide: set[fx.Node] = set()
    for node in list(module.graph.nodes):
        if isinstance(layer_of(module, node), GridSample):
            offset: Any = node.args[1]
            if not _widen(module, offset, wide):
                with module.graph.inserting_before(node):
                    copied = _wide_copy(module, offset)
                node.args = (node.args[0], copied)
    for node in list(module.graph.nodes):
        if _keeps(module, node) and node.args[0] in wide:
            wide.add(node)
    for node in list(module.graph.nodes):
        readers = [user for user in node.users if _takes_8_bits(module, user, node)]
        if node in wide and readers:
            with module.graph.inserting_after(node):
                own = module.graph.get_attr(add_layer(module, f"{node.name}_8", FloatFunctional()))
            with module.graph.inserting_after(own):
                copied = module.graph.call_method("cat", (own, [node], 1))
            copied.meta["value"] = node.meta["value"]
            for reader in readers:
                reader.replace_input_with(node, copied)


def _wide_copy(module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The call of a layer that gives what ``node`` gives, in 16 bits."""
    channels = shape_of(node)[1]
    conv = nn.Conv2d(channels, channels, 1, groups=channels, bias=False).to(node.meta["value"])
    conv.weight = nn.Parameter(torch.ones_like(conv.weight), requires_grad=False)
    _give_16_bits(conv)
    copied = module.graph.call_module(add_layer(module, f"{node.name}_16", conv), (node,))
    copied.meta["value"] = node.meta["value"]
    return copied


def _widen(module: fx.GraphModule, node: Any, wide: set[fx.Node]) -> bool:
    """Let the layers that make what ``node`` gives have 16 bits; False where one cannot."""
    if not isinstance(node, fx.Node) or node in wide:
        return isinstance(node, fx.Node)
    maker, summands = _maker(module, node)
    if not (_widen(module, node.args[0], wide) if _keeps(module, node) else maker):
        return False
    wide.add(node)
    if maker is not None:
        for summand in summands:
            _widen(module, summand, wide)
        _give_16_bits(maker, "requantise" if node.target == "cat" else "fold")
    return True


def _maker(module: fx.GraphModule, node: fx.Node) -> tuple[nn.Module | None, list[fx.Node]]:
    """The layer that can give 16 bits at a node, and the tensors that it adds or joins."""
    layer = layer_of(module, node)
    if isinstance(layer, QuantStub) and shape_of(node)[1] <= 2:
        return layer, []  # a flow, not an image
    if isinstance(layer, (*CONVOLUTIONS, FusedConv)):
        return layer, [node.args[0]] if _multiplies(layer) else []  # type: ignore[list-item]
    own = _own(module, node)
    if isinstance(own, FusedConv):
        return own, [x for i, x in enumerate(node.all_input_nodes[1:]) if i != own.conv_operand]
    if own is not None and node.target in ("add", "sub", "cat"):
        return own, node.all_input_nodes[1:]
    return None, []


def _multiplies(layer: nn.Module) -> bool:
    """Whether a convolution is no more than a factor for each channel of a flow."""
    if not isinstance(layer, nn.Conv2d):
        return False
    return layer.kernel_size == (1, 1) and layer.in_channels <= 2


def _own(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer whose method a node calls, as of a FloatFunctional; None: it calls none."""
    own = node.args[0] if node.op == "call_method" and node.args else None
    found = held_by(module, own)
    return found if isinstance(found, nn.Module) else None


def _give_16_bits(layer: nn.Module, concat: str = "fold") -> None:
    config = get_default_qat_qconfig("int16", "minmax", margin=MARGIN, concat=concat)
    setattr(layer, "qconfig", config)  # noqa: B010


def _keeps(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node gives as many bits as its first argument has."""
    if not node.args or not isinstance(node.args[0], fx.Node):
        return False
    if node.target in INTERPOLATIONS:
        return bool(node.kwargs.get("mode") != "area")
    if isinstance(layer_of(module, node), KEEPING_LAYERS) or node.target in KEEPING:
        return True
    function = function_of(node)
    scales = PYTHONS.get(function, function) in (torch.mul, torch.div, torch.Tensor.mul)
    factor = node.args[1] if len(node.args) > 1 else None
    return scales and isinstance(factor, int | float) and bool(factor > 0)


def _takes_8_bits(module: fx.GraphModule, user: fx.Node, node: fx.Node) -> bool:
    """Whether a reader of ``node`` needs it in 8 bits."""
    layer: Any = layer_of(module, user) or _own(module, user)
    conv = layer.conv if isinstance(layer, FusedConv) else layer
    if isinstance(conv, CONVOLUTIONS):
        inputs = conv.in_channels // conv.groups
        return _convolved(layer, user) is node and inputs * math.prod(conv.kernel_size) > PRODUCTS
    function = PYTHONS.get(function_of(user), function_of(user))
    if function in QUOTIENTS:
        return user.args[-1] is node
    return isinstance(layer, lookup.TWIN.modules) or function in lookup.TWIN.calls


def _convolved(layer: Any, call: fx.Node) -> Any:
    """What a call of a convolution convolves; with an addition it is the operand that says so."""
    return call.args[0] if call.op == "call_module" else call.args[1 + layer.conv_operand]
