"""The largest channel of each pixel: ``x.amax(1, keepdim=True)``, in the scale of its input.

In a program the larger ones of two halves are taken, again and again (:mod:`.extremum`).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.extremum import QuantizedExtremum
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.twin import Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor


class ChannelMax(nn.Module):
    """(N, C, H, W) to (N, 1, H, W), in real numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(1, keepdim=True)


class QATChannelMax(QATLayer):
    """The prepared form: no scale of its own, as of a max pooling."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: QTensor
    ) -> tuple[Tensor | None, int]:
        (x,) = inputs
        refuse_plain(layer, x)
        refuse_accumulators(layer, x, verb="compares the channels of")
        return x.one_scale(layer), x.bits

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        if self.exact:
            result: QTensor = self.lowered(x)(x)
            return result
        return replace(x, values=x.values.amax(1, keepdim=True))

    def lower(self, x: QTensor) -> QuantizedChannelMax:
        return QuantizedChannelMax(self.layer)


class QuantizedChannelMax(QuantizedLayer):
    """The converted form; it makes several nodes of a program."""

    def forward(self, x: QTensor) -> QTensor:
        scale, step = x.one_scale(self.layer), 0
        while (channels := x.shape[1]) > 1:
            half = (channels + 1) // 2
            larger = QuantizedExtremum(
                f"{self.layer}.{step}", "maximum", [None, None], scale, x.bits
            )
            x = larger.compute(x.cut(1, 0, half), x.cut(1, channels - half, channels))
            step += 1
        return x


TWIN = Twin((ChannelMax,), QATChannelMax)
