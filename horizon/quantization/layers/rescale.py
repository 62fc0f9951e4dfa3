"""An activation that is fused with nothing, and what brings a tensor to another scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.arithmetic.training import activation_dtype
from horizon.quantization.layers.activation import Activation
from horizon.quantization.layers.converted import (
    QuantizedLayer,
    bits_of,
    ratio_tensor,
    scale_of,
)
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantize

IDENTITY = (2**23, 23)


class QATReLU(QATLayer):
    """A ReLU that is fused with nothing: the same scale, negative integers to 0."""

    elementwise = True

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        (x,) = inputs
        refuse_plain(layer, x)
        return x.scale, x.bits

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        if self.in_float or self.trains:
            return replace(x, values=x.values.relu())
        result: QTensor = self.lowered(x)(x)
        return result

    def lower(self, x: QTensor) -> QuantizedRescale:
        assert x.scale is not None
        scale = x.scale.detach().clone()
        return QuantizedRescale(self.layer, IDENTITY, scale, x.bits, 0, LIMITS[x.bits][1])


class QATActivation(QATLayer):
    """LeakyReLU, PReLU, ReLU6 or Hardtanh that is fused with nothing: to a scale of its own."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        self.activation = Activation(source)
        self.elementwise = self.is_elementwise(source)
        self.add_module("act_quant", FakeQuantize(qconfig.activation, layer))

    @classmethod
    def is_elementwise(cls, source: nn.Module) -> bool:
        return not (isinstance(source, nn.PReLU) and source.weight.numel() > 1)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        refuse_plain(layer, *inputs)
        refuse_accumulators(layer, *inputs, verb="takes")
        return None, qconfig.activation.bits

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        if self.exact:
            result: QTensor = self.lowered(x)(x)
            return result
        quant = self.act_quant
        if self.in_float:
            return self.real_result(self.activation(x.values), quant.bits)
        if quant.follows:
            quant.follow(self.activation(x.dequantize()).detach().abs().max())
        out = quant.current()
        assert x.scale is not None
        ratio = (x.scale.view(-1, 1, 1) if x.scale.dim() else x.scale) / out
        limits = self.activation.limits(out, quant.low, quant.high)
        kind = activation_dtype(quant.bits, x.device)
        values = self.activation.requantize(x.values.float(), ratio, limits, dtype=kind)
        return QTensor(values, out, quant.bits)

    def lower(self, x: QTensor) -> QuantizedRescale:
        refuse_accumulators(self.layer, x, verb="takes")
        quant = self.act_quant
        out = quant.current()
        assert x.scale is not None
        scales = x.scale.reshape(-1).double().cpu().numpy() / float(out.double())
        first, _, below, _, shift = self.activation.multipliers(
            self._per_channel(scales, x.shape[1]), None, self.layer
        )
        single = len(first) == 1
        slope = below if below is None or not single else int(below[0])
        return QuantizedRescale(
            self.layer,
            (int(first[0]), int(shift[0])) if single else (first, shift),
            out.detach().clone(),
            quant.bits,
            *self.activation.limits(out, quant.low, quant.high),
            slope,
        )

    def _per_channel(self, scales: np.ndarray, channels: int) -> np.ndarray:
        slope = self.activation.slope
        wide = slope is not None and slope.numel() > 1
        return np.broadcast_to(scales, (channels,)) if wide else scales


class QuantizedRescale(QuantizedLayer):
    """One input to another scale; a ReLU alone is a ratio of 1 and a lower limit of 0.

    ``ratio``: multiplier and shift, numbers or int64 arrays (C,); ``negative``: the multiplier
    below zero where it is another.
    """

    elementwise = True

    def __init__(
        self,
        layer: str,
        ratio: tuple[Any, Any],
        scale: Tensor,
        bits: int,
        low: int,
        high: int,
        negative: Any = None,
    ) -> None:
        super().__init__(layer)
        self.ratio, self.bits, self.low, self.high = ratio, bits, low, high
        self.negative = negative
        self.register_buffer("scale", scale)

    def forward(self, x: QTensor) -> QTensor:
        limits, dtype = (self.low, self.high), DTYPES[self.bits]
        if x.device.type == "cpu":
            values = native.rescale(x.integers(), self.ratio, limits, dtype, self.negative)
        else:
            ratio = ratio_tensor(self.ratio, x.device)
            below = None
            if self.negative is not None:
                below = ratio_tensor((self.negative, self.ratio[1]), x.device)
            values = kernels.requantize([x.values], None, ratio, *limits, dtype, negative=below)
        return self.emit("rescale", [x], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        multiplier, shift = self.ratio
        found = {"multiplier": multiplier, "shift": shift, "lo": self.low, "hi": self.high}
        return found if self.negative is None else {**found, "negative_multiplier": self.negative}


def rescale_of(node: Node, graph: Graph) -> QuantizedRescale:
    """The converted layer of a node."""
    a, output = node.attributes, graph.tensors[node.output]
    ratio = (a["multiplier"], a["shift"])
    return QuantizedRescale(
        node.name,
        ratio,
        scale_of(output),
        bits_of(output),
        int(a["lo"]),
        int(a["hi"]),
        a.get("negative_multiplier"),
    )


def bind_relu(input: Any, inplace: bool = False) -> Bound:
    """``F.relu`` as a layer."""
    return Bound("relu", (), nn.ReLU, (input,))


def bind_relu6(input: Any, inplace: bool = False) -> Bound:
    """``F.relu6`` as a layer."""
    return Bound("relu6", (), nn.ReLU6, (input,))


def bind_leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Bound:
    """``F.leaky_relu`` as a layer."""
    return Bound("leaky_relu", (negative_slope,), lambda: nn.LeakyReLU(negative_slope), (input,))


def bind_abs(input: Any) -> Bound:
    """``x.abs()`` as a layer: the slope below zero is -1."""
    return Bound("abs", (), lambda: nn.LeakyReLU(-1.0), (input,))


def bind_prelu(input: Any, weight: Any) -> Bound:
    """``F.prelu`` as a layer that has the same parameter."""
    if not isinstance(weight, nn.Parameter):
        raise InputError("torch.prelu: its weight is no parameter; use nn.PReLU")

    def source() -> nn.Module:
        layer = nn.PReLU(weight.numel())
        layer.weight = weight
        return layer

    return Bound("prelu", (), source, (input,))


def bind_hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Bound:
    """``F.hardtanh`` as a layer."""
    return bind_clamp(input, min_val, max_val)


def bind_clamp(input: Any, min: Any = None, max: Any = None) -> Bound:
    """``torch.clamp`` as a layer."""
    if not all(end is None or isinstance(end, int | float) for end in (min, max)):
        raise InputError("torch.clamp of a quantised tensor: its limits must be numbers")
    if min == 0 and max is None:
        return bind_relu(input)
    low, high = (-UNLIMITED if min is None else min), (UNLIMITED if max is None else max)
    if not low < high:
        raise InputError(f"torch.clamp to {low} .. {high}: expected a lower and a higher limit")
    return Bound("clamp", (low, high), lambda: nn.Hardtanh(low, high), (input,))


def bind_clamp_min(input: Any, min: Any) -> Bound:
    """``torch.clamp_min`` as a layer."""
    return bind_clamp(input, min, None)


def bind_clamp_max(input: Any, max: Any) -> Bound:
    """``torch.clamp_max`` as a layer."""
    return bind_clamp(input, None, max)


UNLIMITED = 3.0e38
RELU = Twin(
    (nn.ReLU,),
    QATReLU,
    calls=dict.fromkeys(
        (
            *(functional.relu, functional.relu_, torch.relu, torch.relu_),
            *(torch.Tensor.relu, torch.Tensor.relu_),
        ),
        bind_relu,
    ),
)
OTHERS = Twin(
    (nn.LeakyReLU, nn.PReLU, nn.Hardtanh),
    QATActivation,
    {"rescale": rescale_of},
    {
        **dict.fromkeys((functional.leaky_relu, functional.leaky_relu_), bind_leaky_relu),
        **dict.fromkeys((functional.prelu, torch.prelu, torch.Tensor.prelu), bind_prelu),
        **dict.fromkeys((functional.relu6,), bind_relu6),
        **dict.fromkeys((torch.abs, torch.absolute, torch.Tensor.abs), bind_abs),
        **dict.fromkeys((torch.abs_, torch.Tensor.abs_, torch.Tensor.absolute), bind_abs),
        **dict.fromkeys((functional.hardtanh, functional.hardtanh_), bind_hardtanh),
        **dict.fromkeys((torch.clamp, torch.clip, torch.Tensor.clamp), bind_clamp),
        **dict.fromkeys((torch.Tensor.clip, torch.Tensor.clamp_), bind_clamp),
        **dict.fromkeys((torch.clamp_min, torch.Tensor.clamp_min), bind_clamp_min),
        **dict.fromkeys((torch.clamp_max, torch.Tensor.clamp_max), bind_clamp_max),
    },
)
