"""Warps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.hbir.fixed_point import offset_fraction_bits, quantize_ratio
from horizon.nn import GridSample
from horizon.nn.grid_sample import warp
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.arithmetic.training import requantize_ste, round_ratio
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.twin import Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import LIMITS, QTensor


class QATGridSample(QATLayer):
    """Warp. The offsets are brought to the fraction bits of the map's size first."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        refuse_plain(layer, *inputs)
        feature, offset = inputs
        check_offset(layer, offset)
        refuse_accumulators(layer, feature, verb="takes")
        offset.one_scale(layer)
        return feature.one_scale(layer), feature.bits

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
        check_offset(self.layer, offset)
        scale = float(offset.one_scale(self.layer).double())
        return QuantizedGridSample(self.layer, quantize_ratio(scale, self.layer))


def check_offset(layer: str, offset: QTensor) -> None:
    """InputError unless the offsets are int16."""
    if offset.bits != 16:
        raise InputError(
            f"{layer}: sampling offsets must be int16, found int{offset.bits}; give the "
            "layer that makes them get_default_qat_qconfig(dtype='int16')"
        )


class QuantizedGridSample(QuantizedLayer):
    """``ratio``: from the offset's step to pixels, as multiplier and shift."""

    def __init__(self, layer: str, ratio: tuple[int, int]) -> None:
        super().__init__(layer)
        self.ratio = ratio

    def forward(self, feature: QTensor, offset: QTensor) -> QTensor:
        height, width = feature.shape[-2:]
        multiplier, shift = self.ratio
        if feature.device.type == "cpu":
            values = native.warp(feature.integers(), offset.integers(), self.ratio)
        else:
            ratio = multiplier * 2.0**-shift
            places = kernels.requantize_offset(offset.values, ratio, (height, width))
            values = kernels.warp(feature.values, places)
        scale = feature.one_scale(self.layer)
        return self.emit("warp", [feature, offset], values, scale, feature.bits)

    def attributes(self) -> dict[str, Any]:
        multiplier, shift = self.ratio
        return {"offset_multiplier": multiplier, "offset_shift": shift}


def grid_sample_of(node: Node, graph: Graph) -> QuantizedGridSample:
    """The converted layer of a node."""
    a = node.attributes
    return QuantizedGridSample(node.name, (int(a["offset_multiplier"]), int(a["offset_shift"])))


TWIN = Twin((GridSample,), QATGridSample, {"warp": grid_sample_of})
