"""Concatenation along one axis, and cutting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from horizon.hbir import Graph, Node
from horizon.hbir.fixed_point import quantize_ratio
from horizon.hbir.operators.moves import check_side
from horizon.nn import FloatFunctional
from horizon.quantization.arithmetic import native
from horizon.quantization.arithmetic.training import activation_dtype, requantize_ste, round_ratio
from horizon.quantization.layers.converted import QuantizedFunctional, QuantizedLayer
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.rescale import QuantizedRescale
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import NHWC, QTensor, same_scale


def prepared_cat(layer: QATLayer, concat: str, tensors: list[QTensor], dim: int) -> QTensor:
    """The concatenation in calibration and in training; ``concat`` is that of the qconfig."""
    quant = layer.act_quant
    changed = requantised(layer, concat, tensors, dim)
    if layer.in_float:
        parts = [
            layer.real_result(tensor.values, 8).values if change else tensor.values
            for tensor, change in zip(tensors, changed, strict=True)
        ]
        bits = quant.bits if any(changed) else tensors[0].bits
        return QTensor(torch.cat(parts, dim=dim), None, bits)
    if quant.follows and any(changed):
        largest = [
            tensor.dequantize().detach().abs().max()
            for tensor, change in zip(tensors, changed, strict=True)
            if change
        ]
        quant.follow(torch.stack(largest).max())
    inputs = [_to_scale(layer, t) if c else t for t, c in zip(tensors, changed, strict=True)]
    kind = activation_dtype(inputs[0].bits, inputs[0].device)
    joined = torch.cat([t.values.to(kind) for t in inputs], dim=dim)
    return QTensor(joined, joined_scale(inputs, dim), inputs[0].bits)


def lower_cat(layer: QATLayer, concat: str, tensors: list[QTensor], dim: int) -> QuantizedConcat:
    """The converted concatenation for inputs of these scales."""
    changed = requantised(layer, concat, tensors, dim)
    rescales = [
        _rescale(layer, tensor, index) if change else None
        for index, (tensor, change) in enumerate(zip(tensors, changed, strict=True))
    ]
    return QuantizedConcat(layer.layer, rescales, dim % 4)


def plan_cat(
    layer: str, qconfig: QConfig, tensors: Sequence[Any], dim: int
) -> tuple[Tensor | None, int]:
    """Scale (None: one of its own) and bits of a concatenation; InputError if it cannot be."""
    refuse_plain(layer, *tensors)
    bits = qconfig.activation.bits
    mixed = len({t.bits for t in tensors}) > 1
    changed = [
        qconfig.concat == "requantise"
        or dim % 4 != 1
        or (t.bits != bits if mixed else t.bits > bits)
        for t in tensors
    ]
    refuse_accumulators(layer, *tensors, verb="takes")
    for tensor, change in zip(tensors, changed, strict=True):
        if change:
            tensor.one_scale(layer)
    if all(changed) or not all(t.scale is not None for t in tensors):
        return None, bits
    return joined_scale(tensors), bits if any(changed) else tensors[0].bits


def bind_cat(tensors: Sequence[Any], dim: int = 0, axis: int | None = None) -> Bound:
    """``torch.cat`` as a layer; ``axis`` is numpy's name of ``dim``."""
    dim = dim if axis is None else axis
    dim = dim + 4 if dim < 0 else dim
    return Bound("cat", (dim,), FloatFunctional, ("cat", list(tensors), dim), dim == 1)


def requantised(layer: QATLayer, concat: str, tensors: Sequence[QTensor], dim: int) -> list[bool]:
    """Which inputs go through ``act_quant``: all, to one scale, where not channels are joined."""
    if concat == "requantise" or dim % 4 != 1:
        return [True] * len(tensors)
    bits = layer.act_quant.bits
    if len({t.bits for t in tensors}) == 1:
        return [tensors[0].bits > bits] * len(tensors)
    return [t.bits != bits for t in tensors]


def joined_scale(tensors: Sequence[QTensor], dim: int = 1) -> Tensor:
    """The scale of a concatenation: () where all agree, otherwise (C,)."""
    first = tensors[0].scale
    assert first is not None
    if dim % 4 != 1:
        return first
    if not first.dim() and all(same_scale(t.scale, first) for t in tensors):
        return first
    return torch.cat([t.channel_scale() for t in tensors])


def _to_scale(layer: QATLayer, tensor: QTensor) -> QTensor:
    quant = layer.act_quant
    out = quant.current()
    if tensor.bits == quant.bits and same_scale(tensor.scale, out):
        return tensor
    ratio = round_ratio(tensor.one_scale(layer.layer) / out)
    values = requantize_ste(tensor.values.float(), ratio, quant.low, quant.high)
    return QTensor(values, out, quant.bits)


def _rescale(layer: QATLayer, tensor: QTensor, index: int) -> QuantizedRescale | None:
    quant = layer.act_quant
    out = quant.current()
    if tensor.bits == quant.bits and same_scale(tensor.scale, out):
        return None
    own = float(tensor.one_scale(layer.layer).double())
    ratio = quantize_ratio(own / float(out.double()), layer.layer)
    name = f"{layer.layer}.rescale{index}"
    return QuantizedRescale(name, ratio, out.detach().clone(), quant.bits, quant.low, quant.high)


class QuantizedConcat(QuantizedFunctional):
    """The converted concatenation along an axis of N, C, H, W.

    Args:
        rescales: per input a :class:`QuantizedRescale`, or None where it goes in as it is.
    """

    operation = "cat"

    def __init__(
        self, layer: str, rescales: Sequence[QuantizedRescale | None], axis: int = 1
    ) -> None:
        super().__init__(layer)
        self.axis = axis
        self.rescales = nn.ModuleList(nn.Identity() if r is None else r for r in rescales)

    def compute(self, tensors: list[QTensor], dim: int) -> QTensor:
        inputs = [rescale(t) for rescale, t in zip(self.rescales, tensors, strict=True)]
        parts = [t.values for t in inputs]
        on_cpu = parts[0].device.type == "cpu"
        values = native.concatenate(parts, self.axis) if on_cpu else torch.cat(parts, self.axis)
        scale = joined_scale(inputs, self.axis)
        return self.emit("concat", inputs, values, scale, inputs[0].bits)

    def run(self, inputs: list[QTensor], copies: int) -> QTensor:
        return self.compute(inputs, self.axis)

    def attributes(self) -> dict[str, Any]:
        return {"axis": NHWC[self.axis]}


class QuantizedSlice(QuantizedLayer):
    """A range of one axis of N, C, H, W, of which the network's example has ``side``."""

    def __init__(self, layer: str, axis: int, start: int, stop: int, side: int) -> None:
        super().__init__(layer)
        self.axis, self.start, self.stop, self.side = axis, start, stop, side

    def run(self, inputs: list[QTensor], copies: int) -> QTensor:
        if self.axis > 1:
            check_side(self.layer, NHWC[self.axis], self.side, inputs[0].shape[self.axis])
        times = copies if self.axis == 0 else 1
        return inputs[0].cut(self.axis, self.start * times, self.stop * times)


def concat_of(node: Node, graph: Graph) -> QuantizedLayer:
    """The converted layer of a node."""
    axis = NHWC.index(node.attributes["axis"])
    return QuantizedConcat(node.name, [None] * len(node.inputs), axis)


def slice_of(node: Node, graph: Graph) -> QuantizedSlice:
    """The converted layer of a node."""
    a = node.attributes
    axis = NHWC.index(a["axis"])
    side = graph.tensors[node.inputs[0]].shape[a["axis"]]
    return QuantizedSlice(node.name, axis, int(a["start"]), int(a["stop"]), side)


TWIN = Twin(
    operators={"concat": concat_of, "slice": slice_of},
    calls=dict.fromkeys((torch.cat, torch.concat, torch.concatenate), bind_cat),
)
