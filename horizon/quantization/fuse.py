"""Layers that become one: convolution + batch normalisation (+ addition) + activation.

A layer or a weight may stand in several places of a network. Fusing therefore changes none that it
finds: a folded convolution has weights of its own, and :class:`TakenIn` remembers which layer was
in its place, so that another convolution can take it in as well.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn import quantized as torch_quantized

from horizon.errors import InputError
from horizon.nn import Correlation, FloatFunctional
from horizon.nn.functional import Functional
from horizon.quantization.weight_order import WeightOrder, order_of

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Hardtanh)
ADDITIONS = (FloatFunctional, torch_quantized.FloatFunctional)


class TakenIn(nn.Identity):
    """Stands in the place of ``original``, which the layer ``into`` has taken in."""

    def __init__(self, original: nn.Module, into: str) -> None:
        super().__init__()
        self.into = into
        self._original = (original,)  # a tuple: its parameters belong to the model no longer

    @property
    def original(self) -> nn.Module:
        return self._original[0]

    def extra_repr(self) -> str:
        return f"taken in by {self.into}"


class FusedConv(nn.Module):
    """``act(bn(conv(x)) + residual)``; normalisation, addition and activation where given.

    With an addition it stands in the addition's place and is called like it: ``add(residual, x)``
    (``conv_operand`` says which of the two goes through the convolution).
    """

    def __init__(
        self,
        conv: nn.Module,
        bn: nn.Module | None = None,
        act: nn.Module | None = None,
        conv_operand: int | None = None,
    ) -> None:
        super().__init__()
        self.conv, self.bn = conv, bn
        self.sources: tuple[nn.Module, ...] = ()
        self.act, self.conv_operand = act, conv_operand

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        if residual is not None:
            x = x + residual
        return x if self.act is None else self.act(x)

    def add(self, *operands: Any) -> Any:
        return call_fused_add(self, operands, self.conv_operand)


class FusedCorrelation(nn.Module):
    """``act(correlation(first, second))``."""

    def __init__(self, correlation: Correlation, act: nn.Module) -> None:
        super().__init__()
        self.correlation, self.act = correlation, act
        self.sources: tuple[nn.Module, ...] = ()
        self.max_displacement = correlation.max_displacement

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.act(self.correlation(first, second))


class FusedAdd(Functional):
    """``act(x + y)``, called as ``add(x, y)``."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.act = act
        self.sources: tuple[nn.Module, ...] = ()

    def forward(self, operation: str, *operands: Any) -> Any:
        if operation != "add":
            raise InputError(f"{operation} was called on an addition that is fused")
        return self.act(operands[0] + operands[1])


FUSED = FusedConv | FusedCorrelation | FusedAdd


def call_fused_add(layer: Any, operands: Sequence[Any], conv_operand: int | None) -> Any:
    """Call a layer that stands for convolution and addition as ``add(x, y)`` was called."""
    if conv_operand is None or len(operands) != 2:
        raise InputError("add(x, y) was called on a convolution that is fused with no addition")
    return layer(operands[conv_operand], operands[1 - conv_operand])


def fuse_modules(
    model: nn.Module, names: Sequence[str], fold_bn: bool = True, conv_operand: int = 1
) -> None:
    """Make one layer of ``names``, dotted paths below ``model`` in the order of execution.

    Sequences: conv [bn] [add] [act], with conv ``Conv2d`` or ``ConvTranspose2d``, add a
    ``FloatFunctional`` whose operand number ``conv_operand`` comes from the convolution, and act
    ``ReLU``, ``LeakyReLU``, ``PReLU``, ``ReLU6`` or ``Hardtanh``; correlation, act; add, act.
    The result stands where the convolution was, or where the addition was; the
    others become :class:`TakenIn`, an ``nn.Identity``.

    Whatever uses one of the others must be fused too: a ReLU behind two convolutions is named with
    both. A convolution, or a weight, in two places gets folded weights of its own in each, by
    the statistics of the normalisation behind it there. :func:`check_same_output` tells whether a
    fused network still computes what it did.

    Args:
        fold_bn: batch normalisation goes into the weights for good. Otherwise it stays a part of
            the layer whose statistics training can still move. Either way the running statistics
            count, those of the batch never again, in whatever mode ``model`` is.

    Raises:
        InputError: a sequence that cannot be one layer; nothing is changed then.
    """
    found = [_get(model, name) for name in names]
    if _is_fused_already(found):
        return
    layers: list[Any] = [x.original if isinstance(x, TakenIn) else x for x in found]
    sequence = [_kind(layer) for layer in layers]
    kinds = "+".join(sequence)
    shown = ", ".join(_shown(name, layer) for name, layer in zip(names, found, strict=True))
    known = [f"conv{b}{a}{r}" for b in ("", "+bn") for a in ("", "+add") for r in ("", "+act")]
    if kinds not in (*known[1:], "correlation+act", "add+act"):
        taken = [n for n, x in zip(names, found, strict=True) if isinstance(x, FUSED | TakenIn)]
        reason = "; every place in the network needs a layer of its own" if taken else ""
        raise InputError(
            f"cannot fuse {shown}; expected conv [bn] [add] [act], correlation, act or add, act "
            "(act: ReLU, LeakyReLU, PReLU, ReLU6, Hardtanh; other activations go by table, behind "
            f"the result: leave them out){reason}"
        )
    place = sequence.index("add") if "add" in sequence else 0
    if isinstance(found[place], TakenIn):
        raise InputError(
            f"cannot fuse {shown}: the result belongs in the place of {names[place]}, which is "
            "part of another layer already; every place in the network needs a layer of its own"
        )
    fused = _fused_conv(layers, sequence, fold_bn, conv_operand, shown)
    fused.train(layers[0].training)
    fused.sources = tuple(layers)
    for layer in layers:
        if hasattr(layer, "qconfig"):
            fused.qconfig = layer.qconfig
    for index, (name, layer) in enumerate(zip(names, layers, strict=True)):
        _set(model, name, fused if index == place else TakenIn(layer, names[place]))


def _fused_conv(
    layers: list[Any], sequence: list[str], fold_bn: bool, conv_operand: int, shown: str
) -> Any:
    """The layer that does what ``layers``, of the kinds ``sequence``, do one after the other."""
    act = layers[-1] if sequence[-1] == "act" else None
    if sequence[0] == "correlation":
        return FusedCorrelation(layers[0], layers[-1])
    if sequence[0] == "add":
        return FusedAdd(layers[-1])
    conv = layers[0]
    check_own_weight(conv, f"cannot fuse {shown}")
    bn = layers[1] if sequence[1] == "bn" else None
    if bn is not None and bn.running_mean is None:
        raise InputError(
            f"cannot fuse {shown}: the batch normalisation has no running statistics; expected "
            "track_running_stats=True, with which it computes the same for every image"
        )
    if bn is not None and bn.num_features != conv.out_channels:
        raise InputError(
            f"cannot fuse {shown}: the convolution has {conv.out_channels} output channels, the "
            f"batch normalisation {bn.num_features}"
        )
    if bn is not None and fold_bn:
        conv = copy.copy(conv)
        conv._parameters = dict(conv._parameters)
        fold_batch_norm(conv, bn)
        bn = None
    return FusedConv(conv, bn, act, conv_operand if "add" in sequence else None)


def check_own_weight(conv: Any, what: str) -> None:
    """InputError, which begins with ``what``, where something computes the weight at each call."""
    for name in ("weight", "bias"):
        value = getattr(conv, name)
        if value is not None and not isinstance(value, nn.Parameter):
            raise InputError(
                f"{what}: the convolution's {name} is no parameter but computed from others "
                "(weight_norm, spectral_norm, pruning); make it one before, with "
                "torch.nn.utils.parametrize.remove_parametrizations, remove_weight_norm or "
                "prune.remove"
            )


def _is_fused_already(found: Sequence[Any]) -> bool:
    """Whether these very layers are one already, as those of a block that has two names are."""
    fused = [layer for layer in found if isinstance(layer, FUSED)]
    if len(fused) != 1 or len(fused[0].sources) != len(found):
        return False
    return all(
        layer is fused[0] or (isinstance(layer, TakenIn) and layer.original is source)
        for layer, source in zip(found, fused[0].sources, strict=True)
    )


def _shown(name: str, layer: nn.Module) -> str:
    if isinstance(layer, TakenIn):
        return f"{name} ({type(layer.original).__name__}, fused with {layer.into} already)"
    return f"{name} ({type(layer).__name__})"


@torch.no_grad()
def fold_batch_norm(conv: Any, bn: Any) -> None:
    """Give ``conv`` a weight and a bias with ``bn`` and its running statistics in them.

    They are new parameters: other layers may share the old ones.
    """
    weight, bias = folded_parameters(conv.weight, conv.bias, bn, order_of(conv))
    trained = conv.weight.requires_grad
    conv.weight = nn.Parameter(weight.detach().clone(), trained)
    conv.bias = nn.Parameter(bias.detach().clone(), trained)


def folded_parameters(
    weight: Tensor, bias: Tensor | None, bn: Any, order: WeightOrder
) -> tuple[Tensor, Tensor]:
    """Weight and bias of convolution and batch normalisation (running statistics) as one."""
    factor = torch.rsqrt(bn.running_var + bn.eps)
    if bn.weight is not None:
        factor = factor * bn.weight
    shift = -bn.running_mean if bias is None else bias - bn.running_mean
    shift = shift * factor
    if bn.bias is not None:
        shift = shift + bn.bias
    return weight * order.per_output(factor, weight), shift


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, CONVOLUTIONS):
        return "conv"
    if isinstance(layer, BATCH_NORMS):
        return "bn"
    if isinstance(layer, ACTIVATIONS):
        return "act"
    if isinstance(layer, ADDITIONS):
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
