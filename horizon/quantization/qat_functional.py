"""The prepared addition, concatenation and multiplication by a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from horizon.hbir.fixed_point import align_ratios, quantize_ratio
from horizon.nn.functional import Functional
from horizon.quantization.arithmetic import activation_dtype, requantize_ste, round_ratio
from horizon.quantization.fake_quantize import FakeQuantize
from horizon.quantization.qat_layer import QATLayer
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor, same_scale
from horizon.quantization.quantized import QuantizedRescale
from horizon.quantization.quantized_functional import (
    QuantizedFunctional,
    check_cat,
    joined_scale,
    scaled,
)


class QATFunctional(QATLayer, Functional):
    """One addition, concatenation or multiplication by a number.

    ``act_quant`` is the scale of a sum; of the result of a concatenation with
    ``concat="requantise"``; with "fold", of the inputs that have not its bits (int16 among int8).
    """

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        self.concat = qconfig.concat
        config = qconfig.activation
        if config.qat_scale == "learned":
            # What this place does is known only when it runs; a scale that nothing uses would
            # have no gradient, which is an error among several processes.
            config = replace(config, qat_scale="fixed")
        self.act_quant = FakeQuantize(config, layer)

    def forward(self, operation: str, *operands: Any) -> QTensor:
        inputs = {"add": operands, "cat": operands[0], "mul_scalar": operands[:1]}[operation]
        self.check(*inputs)
        if self.exact:
            return self.lowered(operation, *operands)(operation, *operands)
        if operation == "mul_scalar":
            return scaled(*operands)
        return self._cat(*operands) if operation == "cat" else self._add(*operands)

    def _add(self, x: QTensor, y: QTensor) -> QTensor:
        quant = self.act_quant
        if self.in_float:
            return self.real_result(x.values + y.values, quant.bits)
        if quant.follows:
            quant.follow((x.dequantize() + y.dequantize()).detach().abs().max())
        out = quant.current()
        ratios = [t.one_scale(self.layer) / out for t in (x, y)]
        largest = torch.maximum(*(r.detach() for r in ratios))
        first, second = (round_ratio(r, largest) for r in ratios)
        kind = activation_dtype(quant.bits, x.device)
        values = requantize_ste(
            x.values.float(), first, quant.low, quant.high, y.values, second, kind
        )
        return QTensor(values, out, quant.bits)

    def _cat(self, tensors: list[QTensor], dim: int) -> QTensor:
        check_cat(self.layer, dim)
        quant = self.act_quant
        if self.in_float:
            return self._float_cat(tensors)
        changed = self._requantised(tensors)
        if quant.follows and any(changed):
            largest = [
                tensor.dequantize().detach().abs().max()
                for tensor, change in zip(tensors, changed, strict=True)
                if change
            ]
            quant.follow(torch.stack(largest).max())
        inputs = [self._to_scale(t) if c else t for t, c in zip(tensors, changed, strict=True)]
        values = [t.values for t in inputs]
        kind = activation_dtype(inputs[0].bits, inputs[0].device)
        joined = torch.cat([v.to(kind) for v in values], dim=1)
        return QTensor(joined, joined_scale(inputs), inputs[0].bits)

    def _float_cat(self, tensors: list[QTensor]) -> QTensor:
        changed = self._requantised(tensors)
        parts = []
        for tensor, change in zip(tensors, changed, strict=True):
            values = tensor.values
            if change:
                values = self.real_result(values, 8).values
            parts.append(values)
        bits = self.act_quant.bits if any(changed) else tensors[0].bits
        return QTensor(torch.cat(parts, dim=1), None, bits)

    def _requantised(self, tensors: list[QTensor]) -> list[bool]:
        """Which inputs go through ``act_quant``."""
        if self.concat == "requantise":
            return [True] * len(tensors)
        bits = self.act_quant.bits
        if len({t.bits for t in tensors}) == 1:
            return [tensors[0].bits > bits] * len(tensors)
        return [t.bits != bits for t in tensors]

    def _to_scale(self, tensor: QTensor) -> QTensor:
        quant = self.act_quant
        out = quant.current()
        if tensor.bits == quant.bits and same_scale(tensor.scale, out):
            return tensor
        ratio = round_ratio(tensor.one_scale(self.layer) / out)
        values = requantize_ste(tensor.values.float(), ratio, quant.low, quant.high)
        return QTensor(values, out, quant.bits)

    def lower(self, operation: str, *operands: Any) -> QuantizedFunctional:
        quant = self.act_quant
        if operation == "mul_scalar":
            return QuantizedFunctional(self.layer, operation)
        if operation == "cat":
            changed = self._requantised(operands[0])
            rescales = [
                self._rescale(t, i) if change else None
                for i, (t, change) in enumerate(zip(operands[0], changed, strict=True))
            ]
            return QuantizedFunctional(self.layer, operation, rescales=rescales)
        self.refuse_accumulators(*operands)
        out = quant.current()
        ratios = [
            (t.one_scale(self.layer).double() / out.double()).view(1).cpu().numpy()
            for t in operands
        ]
        ma, mb, shift = (int(v[0]) for v in align_ratios(ratios[0], ratios[1], self.layer))
        scale = out.detach().clone()
        return QuantizedFunctional(self.layer, "add", scale, quant.bits, (ma, mb, shift))

    def _rescale(self, tensor: QTensor, index: int) -> QuantizedRescale | None:
        quant = self.act_quant
        out = quant.current()
        if tensor.bits == quant.bits and same_scale(tensor.scale, out):
            return None
        own = float(tensor.one_scale(self.layer).double())
        ratio = quantize_ratio(own / float(out.double()), self.layer)
        name = f"{self.layer}.rescale{index}"
        scale = out.detach().clone()
        return QuantizedRescale(name, ratio, scale, quant.bits, quant.low, quant.high)
