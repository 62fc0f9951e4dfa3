"""Equalising channels: each channel of a convolution's output uses the range of its int8 tensor.

A tensor has one step for all of its channels, so that a channel that stays small is rounded to few
integers. A channel's weights and bias times a factor, and its weights in the convolutions that read
it divided by the factor, leave a network's outputs as they are (Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", ICCV 2019). There, the factors make
the weights of both layers alike, because all weights of a layer have one step. Here, weights have a
step per output channel, and what costs accuracy is the rounding of activations: the factors make
the ranges of the channels alike, as calibration observed them.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from horizon.hbir import Graph
from horizon.quantization.convert import convert
from horizon.quantization.layers.conv import QATConv
from horizon.quantization.qtensor import QTensor
from horizon.quantization.scales.observers import reduce_values, several_processes
from horizon.quantization.states import prepared_layers
from horizon.quantization.trace import trace

LARGEST_FACTOR = 16.0
"""A larger one would leave the weights behind a channel few steps."""
PERCENTILE = 99.99
"""Of a channel's values in one batch: its range. The largest value may be one that is clipped."""

Ranges = dict[QATConv, Tensor]
"""Per convolution the largest range of each output channel in any batch, (C,)."""


@contextlib.contextmanager
def channel_ranges(model: nn.Module) -> Iterator[Ranges]:
    """Notes the ranges of all convolutions' channels while a prepared ``model`` calibrates."""
    ranges: Ranges = {}

    def note(layer: nn.Module, _: Any, output: QTensor) -> None:
        assert isinstance(layer, QATConv)
        found = _range(output.values)
        known = ranges.get(layer)
        ranges[layer] = found if known is None else torch.maximum(known, found)

    layers = [layer for _, layer in prepared_layers(model) if isinstance(layer, QATConv)]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield ranges
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def equalise_channels(model: nn.Module, ranges: Ranges, example: Any = None) -> list[str]:
    """Scale channels so that they use the same range; returns the names of the layers.

    The scales of a convolution's channels change where all that reads them are convolutions, its
    activation is none, ReLU, LeakyReLU or PReLU, and neither its weights nor theirs belong to
    another layer as well. The scales of the tensors are no longer right then: calibrate again.

    Args:
        model: prepared and calibrated.
        ranges: of :func:`channel_ranges`. With several processes every one calls this.
        example: see :func:`~horizon.quantization.convert.convert`.

    Raises:
        InputError: the model cannot be converted.
    """
    changed = []
    for layer, readers in _pairs(model, trace(convert(model, example), example)):
        if layer not in ranges:
            continue
        factors = _factors(_of_all_processes(ranges[layer]))
        _scale_outputs(layer, factors)
        for reader in readers:
            _scale_inputs(reader, 1 / factors)
        changed.append(layer.layer)
    return changed


def _range(values: Tensor) -> Tensor:
    """The range of each channel of (N, C, H, W), (C,) float32."""
    by_channel = values.detach().float().abs().transpose(0, 1).flatten(1)
    count = by_channel.shape[1]
    beyond = int(count * (1 - PERCENTILE / 100))
    return by_channel.kthvalue(count - beyond, dim=1).values


def _of_all_processes(ranges: Tensor) -> Tensor:
    if not several_processes():
        return ranges
    return reduce_values(ranges.tolist(), dist.ReduceOp.MAX).to(ranges)


def _factors(ranges: Tensor) -> Tensor:
    """What brings each channel to the largest range, (C,). A channel without values stays."""
    factors = ranges.max() / ranges.clamp_min(1e-30)
    return torch.where(ranges > 0, factors.clamp_max(LARGEST_FACTOR), 1.0)


def _pairs(model: nn.Module, graph: Graph) -> Iterator[tuple[QATConv, list[QATConv]]]:
    """Convolutions whose channels may be scaled, and the convolutions that read them."""
    convs = {x.layer: x for _, x in prepared_layers(model) if isinstance(x, QATConv)}
    owners = collections.Counter(id(p) for conv in convs.values() for p in conv.parameters())
    read: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    for node in graph.nodes:
        for index, name in enumerate(node.inputs):
            read[name].append((node.name, index))
    for node in graph.nodes:
        output, conv = node.output, convs.get(node.name)
        readers = [convs.get(reader) for reader, _ in read[output]]
        if conv is None or output in graph.outputs or not readers or not _may_scale(conv):
            continue
        known = [r for r in readers if r is not None and _may_divide(r)]
        alone = all(owners[id(p)] == 1 for x in (conv, *known) for p in x.parameters())
        as_residual = any(index > 0 for _, index in read[output])
        if len(known) == len(readers) and alone and not as_residual:
            yield conv, known


def _may_scale(conv: QATConv) -> bool:
    """Whether its outputs times positive factors are those of other weights and another bias."""
    activation, quant = conv.activation, conv.act_quant
    keeps_sign = activation.high is None and activation.low in (None, 0.0)
    affine = conv.bn is None or conv.bn.weight is not None
    own_step = quant.bits == 8 and quant.config.scale is None
    once = (conv.uses or 1) == 1
    plain = conv.per_channel and conv.conv_operand is None
    return keeps_sign and affine and own_step and once and plain


def _may_divide(conv: QATConv) -> bool:
    return (conv.uses or 1) == 1 and conv.per_channel


def _scale_outputs(conv: QATConv, factors: Tensor) -> None:
    bn: Any = conv.bn
    if bn is not None:  # it would divide by what the weights are multiplied by
        bn.weight.mul_(factors)
        bn.bias.mul_(factors)
        return
    conv.weight.mul_(conv.order.per_output(factors, conv.weight))
    conv.bias.mul_(factors)


def _scale_inputs(conv: QATConv, factors: Tensor) -> None:
    conv.weight.mul_(conv.order.per_input(factors, conv.weight))
