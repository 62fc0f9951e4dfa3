"""Where real numbers become integers, and integers real numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao import quantization as torch_quantization

from horizon.errors import InputError
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization.arithmetic.training import activation_dtype, round_ste
from horizon.quantization.calls import numbered
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.layers.twin import Twin
from horizon.quantization.movement.rearranged import Rearranged
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor, Recorder
from horizon.quantization.scales.fake_quantize import FakeQuantize
from horizon.quantization.scales.input_range import InputRange, InputWatch


class QATQuantStub(QATLayer):
    """Real numbers in, integers out; a scale that the float stub knows is kept."""

    begins = True

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        given = getattr(source, "scale", None)  # torch's own has none
        config = qconfig.activation
        config = replace(
            config,
            scale=given,
            qat_scale="fixed" if config.qat_scale == "learned" else config.qat_scale,
        )
        self.add_module("act_quant", FakeQuantize(config, layer))
        self.forget_range()
        self._watches: dict[int, InputWatch] = {}

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        if any(isinstance(x, QTensor) for x in inputs):
            raise InputError(f"{layer}: a QuantStub's input is quantised already")
        return None, qconfig.activation.bits

    def forget_range(self) -> None:
        """Count anew what lies beyond the range of a scale that is given."""
        self.input_ranges: dict[int, InputRange] = {}

    @property
    def input_range(self) -> InputRange | None:
        """The observed range of this use's input; None if no scale is given."""
        if self.act_quant.config.scale is None:
            return None
        new = InputRange(self.layer, self.act_quant.bits)
        return self.input_ranges.setdefault(self.use, new)

    def all_ranges(self) -> list[InputRange]:
        """The observed ranges of all uses' inputs, in order; empty if no scale is given."""
        first = next(self.act_quants())
        if first.config.scale is None:
            return []
        return [
            self.input_ranges.get(use) or InputRange(numbered(self._layer, use), first.bits)
            for use in range(self.uses or 1)
        ]

    @property
    def watch(self) -> InputWatch:
        """The watch of this use's input."""
        return self._watches.setdefault(self.use, InputWatch(self.layer, self.act_quant.bits))

    def forward(self, x: Tensor) -> QTensor:
        quant = self.act_quant
        if isinstance(x, QTensor):
            raise InputError(f"{self.layer}: a QuantStub's input is quantised already")
        if self.in_float:
            seen = self.input_range
            if self.observing and seen is not None and not self.simulated:
                if not torch.isfinite(x).all():
                    raise InputError(
                        f"{self.layer}: calibration cannot use this input: it holds NaN or "
                        "infinite values; check the images and their normalisation"
                    )
                seen.add(x, float(quant.scale))
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


class QuantizedStub(QuantizedLayer):
    """Real numbers to integers: ``clamp(floor(x / scale + 0.5))``."""

    def __init__(self, layer: str, scale: Tensor, bits: int) -> None:
        super().__init__(layer)
        self.bits = bits
        self.register_buffer("scale", scale)
        self.recorder: Recorder | None = None
        self.watch = InputWatch(layer, bits)

    def forward(self, x: Tensor) -> QTensor:
        if not torch.isfinite(x).all():
            raise InputError(
                f"{self.layer}: the input holds NaN or infinite values, which no integer stands "
                "for; check the images and their normalisation"
            )
        self.watch.look(x, self.scale)
        low, high = LIMITS[self.bits]
        steps = (x.float() / self.scale + 0.5).floor_().clamp_(low, high)
        result = QTensor(steps.to(DTYPES[self.bits]), self.scale, self.bits)
        return result if self.recorder is None else self.recorder.add_input(result)


class QATDeQuantStub(QATLayer):
    """Integers in, real numbers out."""

    ends = True

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        return None, inputs[0].bits

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)

    def forward(self, x: QTensor | Rearranged) -> Tensor:
        if isinstance(x, Rearranged):  # moved in real numbers, behind the program
            return x.replayed(self.forward(x.source))
        self.check(x)
        if self.in_float or self.trains:
            return x.dequantize()
        return self.lowered(x)(x)

    def lower(self, x: QTensor) -> QuantizedDeStub:
        return QuantizedDeStub(self.layer)


class QuantizedDeStub(QuantizedLayer):
    """Integers to real numbers: the end of the fixed-point part."""

    def forward(self, x: QTensor | Rearranged) -> Tensor:
        if isinstance(x, Rearranged):
            return x.replayed(self.forward(x.source))
        if x.recorder is not None:
            x.recorder.add_output(x)
        return x.dequantize()


QUANT = Twin((QuantStub, torch_quantization.QuantStub), QATQuantStub)
DEQUANT = Twin((DeQuantStub, torch_quantization.DeQuantStub), QATDeQuantStub)
