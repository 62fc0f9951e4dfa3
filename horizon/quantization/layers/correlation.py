"""Cost volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT
from horizon.nn import Correlation
from horizon.nn.correlation import banded_products
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.arithmetic.training import (
    activation_dtype,
)
from horizon.quantization.fuse import FusedCorrelation
from horizon.quantization.layers.activation import Activation
from horizon.quantization.layers.converted import (
    QuantizedLayer,
    bits_of,
    ratio_tensor,
    scale_of,
)
from horizon.quantization.layers.prepared import QATLayer, refuse_plain
from horizon.quantization.layers.twin import Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantize


class QATCorrelation(QATLayer):
    """Cost volume: mean over channels of products, ReLU where fused."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, Correlation | FusedCorrelation)
        self.max_displacement = source.max_displacement
        act = source.act if isinstance(source, FusedCorrelation) else None
        self.activation = Activation(act)
        self.activation.one_slope(layer)
        self.add_module("act_quant", FakeQuantize(qconfig.activation, layer))

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        refuse_plain(layer, *inputs)
        for x in inputs:
            x.one_scale(layer)
        check_correlation(layer, *inputs)
        return None, qconfig.activation.bits

    def forward(self, first: QTensor, second: QTensor) -> QTensor:
        self.check(first, second)
        if self.exact:
            return self.lowered(first, second)(first, second)
        quant = self.act_quant
        a, b, channels = first.values, second.values, first.shape[1]
        if a.dtype != b.dtype:
            a, b = a.float(), b.float()
        if self.in_float:
            y = banded_products(a, b, self.max_displacement, 1 / channels)
            return self.real_result(self.activation(y), quant.bits)
        acc = banded_products(a, b, self.max_displacement, 1.0)
        step = first.one_scale(self.layer) * second.one_scale(self.layer) / channels
        if quant.follows:
            with torch.no_grad():
                act = self.activation
                largest = acc.max() if act.is_relu else acc.abs().max()
                real = largest.float().clamp_min(0.0) * step
                if not (act.is_relu or act.is_identity):
                    real = act(acc.float() * step).abs().max()
            quant.follow(real)
        out = quant.current()
        kind = activation_dtype(quant.bits, acc.device)
        limits = self.activation.limits(out, quant.low, quant.high)
        values = self.activation.requantize(acc, step / out, limits, dtype=kind)
        return QTensor(values, out, quant.bits)

    def lower(self, first: QTensor, second: QTensor) -> QuantizedCorrelation:
        quant = self.act_quant
        out = quant.current()
        scales = [float(t.one_scale(self.layer).double()) for t in (first, second)]
        channels = first.shape[1]
        check_correlation(self.layer, first, second)
        ratio = scales[0] * scales[1] / channels / float(out.double())
        first_m, _, below, _, shift = self.activation.multipliers(
            np.array([ratio]), None, self.layer
        )
        return QuantizedCorrelation(
            self.layer,
            self.max_displacement,
            (int(first_m[0]), int(shift[0])),
            out.detach().clone(),
            quant.bits,
            *self.activation.limits(out, quant.low, quant.high),
            None if below is None else int(below[0]),
        )


def check_correlation(layer: str, first: QTensor, second: QTensor) -> None:
    """InputError where the sums over channels could overflow."""
    bound = first.shape[1] * LIMITS[first.bits][0] * LIMITS[second.bits][0]
    if bound >= ACCUMULATOR_LIMIT:
        raise InputError(
            f"{layer}: the accumulator could reach {bound}; expected below 2**28; use "
            "fewer channels or int8 inputs"
        )


class QuantizedCorrelation(QuantizedLayer):
    def __init__(
        self,
        layer: str,
        max_displacement: int,
        ratio: tuple[int, int],
        scale: Tensor,
        bits: int,
        low: int,
        high: int,
        negative: int | None = None,
    ) -> None:
        super().__init__(layer)
        self.max_displacement, self.ratio, self.negative = max_displacement, ratio, negative
        self.bits, self.low, self.high = bits, low, high
        self.register_buffer("scale", scale)

    def forward(self, first: QTensor, second: QTensor) -> QTensor:
        a, b, limits = first.integers(), second.integers(), (self.low, self.high)
        dtype = DTYPES[self.bits]
        if a.device.type == "cpu":
            values = native.correlate(
                a, b, self.max_displacement, self.ratio, limits, dtype, self.negative
            )
        else:
            sums = kernels.correlate(a, b, self.max_displacement)
            ratio = ratio_tensor(self.ratio, sums.device)
            below = None
            if self.negative is not None:
                below = ratio_tensor((self.negative, self.ratio[1]), sums.device)
            values = kernels.requantize([sums], None, ratio, *limits, dtype, negative=below)
        return self.emit("correlation", [first, second], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        multiplier, shift = self.ratio
        slope = {} if self.negative is None else {"negative_multiplier": self.negative}
        return {
            "max_displacement": self.max_displacement,
            "multiplier": multiplier,
            "shift": shift,
            "lo": self.low,
            "hi": self.high,
            **slope,
        }


def correlation_of(node: Node, graph: Graph) -> QuantizedCorrelation:
    """The converted layer of a node."""
    a, output = node.attributes, graph.tensors[node.output]
    return QuantizedCorrelation(
        node.name,
        int(a["max_displacement"]),
        (int(a["multiplier"]), int(a["shift"])),
        scale_of(output),
        bits_of(output),
        int(a["lo"]),
        int(a["hi"]),
        int(a["negative_multiplier"]) if "negative_multiplier" in a else None,
    )


TWIN = Twin((FusedCorrelation, Correlation), QATCorrelation, {"correlation": correlation_of})
