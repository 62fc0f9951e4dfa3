"""The prepared layers without weights: correlation, warp, ReLU and the stubs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT, offset_fraction_bits, quantize_ratio
from horizon.nn import Correlation, QuantStub
from horizon.nn.correlation import banded_products
from horizon.nn.grid_sample import warp
from horizon.quantization import kernels
from horizon.quantization.arithmetic import (
    activation_dtype,
    requantize_ste,
    round_ratio,
    round_ste,
)
from horizon.quantization.fake_quantize import FakeQuantize
from horizon.quantization.fuse import FusedCorrelation
from horizon.quantization.input_range import InputRange, InputWatch
from horizon.quantization.qat_layer import QATLayer
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import LIMITS, QTensor
from horizon.quantization.quantized import (
    QuantizedCorrelation,
    QuantizedDeStub,
    QuantizedGridSample,
    QuantizedRescale,
    QuantizedStub,
)

IDENTITY = (2**23, 23)


class QATCorrelation(QATLayer):
    """Cost volume: mean over channels of products, ReLU where fused."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, Correlation | FusedCorrelation)
        self.max_displacement = source.max_displacement
        self.relu = isinstance(source, FusedCorrelation)
        self.act_quant = FakeQuantize(qconfig.activation, layer)

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
            return self.real_result(y.relu() if self.relu else y, quant.bits)
        acc = banded_products(a, b, self.max_displacement, 1.0)
        step = first.one_scale(self.layer) * second.one_scale(self.layer) / channels
        if quant.follows:
            largest = acc.detach().max() if self.relu else acc.detach().abs().max()
            quant.follow(largest.float().clamp_min(0.0) * step.detach())
        out = quant.current()
        kind = activation_dtype(quant.bits, acc.device)
        low = 0 if self.relu else quant.low
        values = requantize_ste(acc, round_ratio(step / out), low, quant.high, dtype=kind)
        return QTensor(values, out, quant.bits)

    def lower(self, first: QTensor, second: QTensor) -> QuantizedCorrelation:
        quant = self.act_quant
        out = quant.current()
        scales = [float(t.one_scale(self.layer).double()) for t in (first, second)]
        channels = first.shape[1]
        bound = channels * LIMITS[first.bits][0] * LIMITS[second.bits][0]
        if bound >= ACCUMULATOR_LIMIT:
            raise InputError(
                f"{self.layer}: the accumulator could reach {bound}; expected below 2**28; use "
                "fewer channels or int8 inputs"
            )
        ratio = quantize_ratio(scales[0] * scales[1] / channels / float(out.double()), self.layer)
        low = 0 if self.relu else quant.low
        scale = out.detach().clone()
        return QuantizedCorrelation(
            self.layer, self.max_displacement, ratio, scale, quant.bits, low, quant.high
        )


class QATGridSample(QATLayer):
    """Warp. The offsets are brought to the fraction bits of the map's size first."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)

    def forward(self, feature: QTensor, offset: QTensor) -> QTensor:
        self.check(feature, offset)
        if self.in_float:
            return replace(feature, values=warp(feature.values, offset.values))
        if not self.trains:
            return self.lowered(feature, offset)(feature, offset)
        height, width = feature.shape[-2:]
        bits = offset_fraction_bits(height, width)
        ratio = round_ratio(offset.one_scale(self.layer)) * 2.0**bits
        low, high = LIMITS[16]
        places = requantize_ste(offset.values, ratio, low, high)
        smooth = warp(feature.values, places * 2.0**-bits)
        with torch.no_grad():
            exact = kernels.warp(feature.values.float(), places).to(smooth.dtype)
            correction = exact - smooth
        return replace(feature, values=smooth + correction, scale=feature.one_scale(self.layer))

    def lower(self, feature: QTensor, offset: QTensor) -> QuantizedGridSample:
        if offset.bits != 16:
            raise InputError(
                f"{self.layer}: sampling offsets must be int16, found int{offset.bits}; give the "
                "layer that makes them get_default_qat_qconfig(dtype='int16')"
            )
        scale = float(offset.one_scale(self.layer).double())
        return QuantizedGridSample(self.layer, quantize_ratio(scale, self.layer))


class QATReLU(QATLayer):
    """A ReLU that is fused with nothing: the same scale, negative integers to 0."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        if self.in_float or self.trains:
            return replace(x, values=x.values.relu())
        return self.lowered(x)(x)

    def lower(self, x: QTensor) -> QuantizedRescale:
        scale = x.one_scale(self.layer).detach().clone()
        return QuantizedRescale(self.layer, IDENTITY, scale, x.bits, 0, LIMITS[x.bits][1])


class QATQuantStub(QATLayer):
    """Real numbers in, integers out; a scale that the float stub knows is kept."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, QuantStub)
        config = qconfig.activation
        config = replace(
            config,
            scale=source.scale,
            qat_scale="fixed" if config.qat_scale == "learned" else config.qat_scale,
        )
        self.act_quant = FakeQuantize(config, layer)
        self.input_range: InputRange | None = None
        self.watch = InputWatch(layer, config.bits)
        self.forget_range()

    def forget_range(self) -> None:
        """Count anew what lies beyond the range of a scale that is given."""
        given = self.act_quant.config.scale is not None
        self.input_range = InputRange(self.layer, self.act_quant.bits) if given else None

    def forward(self, x: Tensor) -> QTensor:
        quant = self.act_quant
        if isinstance(x, QTensor):
            raise InputError(f"{self.layer}: a QuantStub's input is quantised already")
        if self.in_float:
            if self.observing and self.input_range is not None and not self.simulated:
                if not torch.isfinite(x).all():
                    raise InputError(
                        f"{self.layer}: calibration cannot use this input: it holds NaN or "
                        "infinite values; check the images and their normalisation"
                    )
                self.input_range.add(x, float(quant.scale))
            return self.real_result(x, quant.bits)
        if not self.trains:
            return self.lowered()(x)
        if quant.follows:
            quant.follow(x.detach().abs().max())
        out = quant.current()
        self.watch.look(x, out)
        values = round_ste(x.float() / out).clamp(quant.low, quant.high)
        return QTensor(values.to(activation_dtype(quant.bits, x.device)), out, quant.bits)

    def lower(self) -> QuantizedStub:
        quant = self.act_quant
        return QuantizedStub(self.layer, quant.current().detach().clone(), quant.bits)


class QATDeQuantStub(QATLayer):
    """Integers in, real numbers out."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)

    def forward(self, x: QTensor) -> Tensor:
        self.check(x)
        if self.in_float or self.trains:
            return x.dequantize()
        return self.lowered(x)(x)

    def lower(self, x: QTensor) -> QuantizedDeStub:
        return QuantizedDeStub(self.layer)
