"""Layers that become one: convolution + batch normalisation (+ addition) + ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.nn import Correlation, FloatFunctional

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


class FusedConv(nn.Module):
    """``relu(bn(conv(x)) + residual)``; batch normalisation, addition and ReLU where given.

    With an addition it stands in the addition's place and is called like it: ``add(residual, x)``
    (``conv_operand`` says which of the two goes through the convolution).
    """

    def __init__(
        self,
        conv: nn.Module,
        bn: nn.Module | None = None,
        relu: bool = False,
        conv_operand: int | None = None,
    ) -> None:
        super().__init__()
        self.conv, self.bn = conv, bn
        self.relu, self.conv_operand = relu, conv_operand

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        if residual is not None:
            x = x + residual
        return x.relu() if self.relu else x

    def add(self, *operands: Any) -> Any:
        return call_fused_add(self, operands)


class FusedCorrelation(nn.Module):
    """``relu(correlation(first, second))``."""

    def __init__(self, correlation: Correlation) -> None:
        super().__init__()
        self.correlation = correlation
        self.max_displacement = correlation.max_displacement

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.correlation(first, second).relu()


def call_fused_add(layer: Any, operands: Sequence[Any]) -> Any:
    """Call a layer that stands for convolution and addition as ``add(x, y)`` was called."""
    if layer.conv_operand is None or len(operands) != 2:
        raise RuntimeError("add(x, y) was called on a convolution that is fused with no addition")
    return layer(operands[layer.conv_operand], operands[1 - layer.conv_operand])


def fuse_modules(
    model: nn.Module, names: Sequence[str], fold_bn: bool = True, conv_operand: int = 1
) -> None:
    """Make one layer of ``names``, dotted paths below ``model`` in the order of execution.

    Sequences: conv [bn] [add] [relu], with conv ``Conv2d`` or ``ConvTranspose2d`` and add a
    ``FloatFunctional`` whose operand number ``conv_operand`` comes from the convolution;
    correlation, relu. The result stands where the convolution was, or where the addition was; the
    others become ``nn.Identity``.

    Args:
        fold_bn: batch normalisation goes into the weights for good. Otherwise it stays a part of
            the layer whose statistics training can still move.

    Raises:
        InputError: a sequence that cannot be one layer; nothing is changed then.
    """
    layers: list[Any] = [_get(model, name) for name in names]
    kinds = "+".join(_kind(layer) for layer in layers)
    shown = ", ".join(
        f"{name} ({type(layer).__name__})" for name, layer in zip(names, layers, strict=True)
    )
    if kinds == "correlation+relu":
        correlation = FusedCorrelation(layers[0]).train(layers[0].training)
        if hasattr(layers[0], "qconfig"):
            correlation.qconfig = layers[0].qconfig
        _set(model, names[0], correlation)
        _set(model, names[1], nn.Identity())
        return
    known = [f"conv{b}{a}{r}" for b in ("", "+bn") for a in ("", "+add") for r in ("", "+relu")]
    if kinds not in known[1:]:
        raise InputError(
            f"cannot fuse {shown}; expected conv [bn] [add] [relu] or correlation, relu"
        )
    by_kind = {_kind(layer): layer for layer in layers}
    bn = by_kind.get("bn")
    if bn is not None and bn.running_mean is None:
        raise InputError(f"cannot fuse {shown}: the batch normalisation has no running statistics")
    conv = layers[0]
    if bn is not None and fold_bn:
        fold_batch_norm(conv, bn)
        bn = None
    has_add = "add" in by_kind
    fused = FusedConv(conv, bn, "relu" in by_kind, conv_operand if has_add else None)
    fused.train(conv.training)
    for layer in layers:
        if hasattr(layer, "qconfig"):
            fused.qconfig = layer.qconfig
    place = names[[_kind(layer) for layer in layers].index("add")] if has_add else names[0]
    for name in names:
        _set(model, name, fused if name == place else nn.Identity())


@torch.no_grad()
def fold_batch_norm(conv: Any, bn: Any) -> None:
    """Put ``bn`` with its running statistics into the weights and bias of ``conv``."""
    weight, bias = folded_parameters(conv.weight, conv.bias, bn, out_axis(conv))
    conv.weight.copy_(weight)
    if conv.bias is None:
        conv.bias = nn.Parameter(bias.clone())
    else:
        conv.bias.copy_(bias)


def folded_parameters(
    weight: Tensor, bias: Tensor | None, bn: Any, axis: int
) -> tuple[Tensor, Tensor]:
    """Weight and bias of convolution and batch normalisation (running statistics) as one."""
    factor = torch.rsqrt(bn.running_var + bn.eps)
    if bn.weight is not None:
        factor = factor * bn.weight
    shape = [1] * weight.dim()
    shape[axis] = -1
    shift = -bn.running_mean if bias is None else bias - bn.running_mean
    shift = shift * factor
    if bn.bias is not None:
        shift = shift + bn.bias
    return weight * factor.view(shape), shift


def out_axis(conv: nn.Module) -> int:
    """The axis of a convolution's weight that counts output channels."""
    return 1 if isinstance(conv, nn.ConvTranspose2d) else 0


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, CONVOLUTIONS):
        return "conv"
    if isinstance(layer, BATCH_NORMS):
        return "bn"
    if isinstance(layer, nn.ReLU):
        return "relu"
    if isinstance(layer, FloatFunctional):
        return "add"
    if isinstance(layer, Correlation):
        return "correlation"
    return type(layer).__name__


def _get(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise InputError(f"fuse_modules: {type(model).__name__} has no layer {name!r}") from error


def _set(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
