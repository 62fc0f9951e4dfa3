"""The weights of a stage in real numbers against their integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.fuse import FusedConv, folded_parameters
from horizon.quantization.layers.conv import QATConv
from horizon.quantization.layers.conv_geometry import own_taps
from horizon.quantization.profiler.layers import Call, layers_of, run, watched
from horizon.quantization.profiler.similarity import decibels
from horizon.quantization.weight_order import order_of

DEAD = 1e-6


@dataclass(frozen=True)
class LayerWeights:
    """One layer's weights, folded with its batch normalisation.

    Attributes:
        layer: the name.
        channels: output channels, each with a scale of its own.
        cosine, mse, sqnr_db: of the integers times their scales against the real weights (see
            :class:`~horizon.quantization.profiler.LayerSimilarity`).
        worst_channel, worst_sqnr_db: the output channel with the lowest SQNR; None if all are
            equal.
        spread: largest over smallest range (largest absolute weight) of the channels that are not
            dead. One scale for the whole tensor would lose as much.
        dead: channels whose weights are all at most ``DEAD`` times the layer's largest: they put
            out a constant.
    """

    layer: str
    channels: int
    cosine: float
    mse: float
    sqnr_db: float | None
    worst_channel: int | None
    worst_sqnr_db: float | None
    spread: float
    dead: int


def compare_weights(reference: nn.Module, prepared: nn.Module, batch: Any) -> list[LayerWeights]:
    """The real weights of ``reference`` against the int8 weights of ``prepared``.

    A convolution behind a concatenation takes its input's scales into its weights before it
    quantises them. They are compared as they act then: weights of inputs with a smaller scale
    count less, in proportion to the largest scale.

    Args:
        reference: a fused float model or a prepared one.
        prepared: a calibration or QAT model that quantises (VALIDATION), in the order of whose
            execution the layers are listed.
        batch: what the models take; the scales of the layers' inputs come from a run on it.

    Raises:
        InputError: no convolution in common, or shapes that differ.
    """
    partners = layers_of(reference)
    found: dict[str, LayerWeights] = {}

    def compare(call: Call) -> None:
        layer, partner = call.module, partners.get(call.name)
        if partner is None or not isinstance(layer, QATConv) or call.name in found:
            return
        real = real_weight(partner)
        if real is None:
            return
        steps, factor, unit = integer_weight(layer, *call.args)
        if real.shape != steps.shape:
            raise InputError(
                f"layer {call.name}: weights of {tuple(real.shape)} and {tuple(steps.shape)}; "
                "both stages need one network"
            )
        found[call.name] = compare_tensors(call.name, real * factor * unit, steps * unit)

    with watched(prepared, compare):
        run(prepared, batch)
    if not found:
        raise InputError("the two stages have no convolution in common")
    return list(found.values())


def real_weight(layer: nn.Module) -> Tensor | None:
    """Folded weights of a float or prepared convolution, output channels first; None for others."""
    if isinstance(layer, QATConv):
        return layer.order.outputs_first(layer.folded()[0])
    conv: Any = layer.conv if isinstance(layer, FusedConv) else layer
    if not isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
        return None
    weight, order = conv.weight, order_of(conv)
    if isinstance(layer, FusedConv) and layer.bn is not None:
        weight, _ = folded_parameters(weight, conv.bias, layer.bn, order)
    return order.outputs_first(weight)


def integer_weight(layer: QATConv, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The int8 weights for these inputs, output channels first, and how to read them.

    Returns:
        The integers; the factor that turns real weights into them, before rounding; and what one
        step is, per output channel, where the input has its largest scale. All float64.
    """
    weight, bias = layer.folded()
    quant = layer.act_quant
    out = None if quant.keeps_accumulators else quant.current()
    scale = inputs[0].scale
    factor, sums = layer.weight_steps(weight, bias, scale, out)
    taps = own_taps(layer.lower(*inputs).weight, layer.geometry, weight.shape[2:])
    steps, factor = (layer.order.outputs_first(x) for x in (taps, factor))
    unit = (sums / scale.max()).double().view(-1, 1, 1, 1)
    return steps.double(), factor.double(), unit


def compare_tensors(layer: str, real: Tensor, quantised: Tensor) -> LayerWeights:
    """Compare weights (O, ...), output channels first, in real numbers."""
    real = real.detach().double().flatten(1)
    quantised = quantised.detach().double().flatten(1)
    squares = real.square().sum(dim=1)
    errors = (quantised - real).square().sum(dim=1)
    ratios = [decibels(float(s), float(e)) for s, e in zip(squares, errors, strict=True)]
    ranges = real.abs().amax(dim=1)
    alive = ranges > DEAD * float(ranges.max())
    known = {c: r for c, r in enumerate(ratios) if r is not None and bool(alive[c])}
    worst = min(known, key=lambda channel: known[channel]) if known else None
    norms = math.sqrt(float(squares.sum()) * float(quantised.square().sum()))
    error = float(errors.sum())
    return LayerWeights(
        layer,
        len(ranges),
        min(1.0, float((real * quantised).sum()) / norms) if norms else float(error == 0),
        error / real.numel(),
        decibels(float(squares.sum()), error),
        worst,
        None if worst is None else known[worst],
        float(ranges.max() / ranges[alive].min()) if bool(alive.any()) else 1.0,
        int((~alive).sum()),
    )
