"""The larger or the smaller of two tensors, element by element.

Both operands are brought to the scale of the result, each by one rounding; as rounding keeps the
order, that is the rounded extremum. In a program the larger of a and b is ``b + max(a - b, 0)`` and
the smaller ``b + min(a - b, 0)``, with twice the bits between, which rounds nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from horizon.hbir.fixed_point import quantize_ratio
from horizon.nn import FloatFunctional
from horizon.quantization.arithmetic.training import activation_dtype, requantize_ste, round_ratio
from horizon.quantization.layers.add import QuantizedAdd, plan_add
from horizon.quantization.layers.broadcast import broadcast
from horizon.quantization.layers.converted import QuantizedFunctional
from horizon.quantization.layers.difference import QuantizedSub
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators
from horizon.quantization.layers.rescale import QuantizedRescale
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qtensor import LIMITS, QTensor, same_scale

ONE = 1 << 23, 1 << 23, 23  # both multipliers and the shift: a ratio of 1
CHOOSE = {"maximum": torch.maximum, "minimum": torch.minimum}


def prepared_extremum(layer: QATLayer, operation: str, x: QTensor, y: QTensor) -> QTensor:
    """The extremum in calibration and in training; ``layer.act_quant`` has its scale."""
    quant = layer.act_quant
    x, y = broadcast(layer.layer, x, y)
    choose = CHOOSE[operation]
    if layer.in_float:
        return layer.real_result(choose(x.values, y.values), quant.bits)
    if quant.follows:
        quant.follow(choose(x.dequantize(), y.dequantize()).detach().abs().max())
    out = quant.current()
    kind = activation_dtype(quant.bits, x.device)
    parts = [
        requantize_ste(
            t.values.float(),
            round_ratio(t.one_scale(layer.layer) / out),
            quant.low,
            quant.high,
            dtype=kind,
        )
        for t in (x, y)
    ]
    return QTensor(choose(*parts), out, quant.bits)


def lower_extremum(layer: QATLayer, operation: str, x: QTensor, y: QTensor) -> QuantizedExtremum:
    """The converted extremum for operands of these scales."""
    quant = layer.act_quant
    refuse_accumulators(layer.layer, x, y, verb="compares")
    out = quant.current().detach().clone()
    rescales: list[QuantizedRescale | None] = []
    for index, t in enumerate((x, y)):
        if t.bits == quant.bits and same_scale(t.scale, out):
            rescales.append(None)
            continue
        own = float(t.one_scale(layer.layer).double())
        ratio = quantize_ratio(own / float(out.double()), layer.layer)
        name = f"{layer.layer}.rescale{index}"
        rescales.append(QuantizedRescale(name, ratio, out, quant.bits, quant.low, quant.high))
    return QuantizedExtremum(layer.layer, operation, rescales, out, quant.bits)


class QuantizedExtremum(QuantizedFunctional):
    """The converted extremum.

    Args:
        rescales: of both operands, where they have not the scale and the type of the result.
    """

    def __init__(
        self,
        layer: str,
        operation: str,
        rescales: list[QuantizedRescale | None],
        scale: Tensor,
        bits: int,
    ) -> None:
        super().__init__(layer)
        self.operation, self.bits = operation, bits
        self.rescales = nn.ModuleList(nn.Identity() if r is None else r for r in rescales)
        self.register_buffer("scale", scale)
        low, high = LIMITS[2 * bits]
        limits = (0, high) if operation == "maximum" else (low, 0)
        self.change = QuantizedSub(f"{layer}.change", ONE, scale, 2 * bits, limits)
        self.changed = QuantizedAdd(layer, ONE, scale, bits)

    def compute(self, x: QTensor, y: QTensor) -> QTensor:
        x, y = broadcast(self.layer, x, y)
        x, y = (rescale(t) for rescale, t in zip(self.rescales, (x, y), strict=True))
        return self.changed.compute(y, self.change.compute(x, y))


def plan_extremum(layer: str, x: Any, y: Any) -> None:
    """InputError for operands that cannot be compared."""
    plan_add(layer, x, y)


def _bind(operation: str) -> Any:
    def bind(input: Any, other: Any = None, *arguments: Any, **options: Any) -> Bound | None:
        """The larger or smaller of two tensors as a layer; None for that of one tensor."""
        if not isinstance(input, QTensor) or not isinstance(other, QTensor) or arguments or options:
            return None
        return Bound(operation, (), FloatFunctional, (operation, input, other))

    return bind


TWIN = Twin(
    calls=dict.fromkeys(
        (torch.maximum, torch.Tensor.maximum, torch.max, torch.Tensor.max), _bind("maximum")
    )
    | dict.fromkeys(
        (torch.minimum, torch.Tensor.minimum, torch.min, torch.Tensor.min), _bind("minimum")
    ),
)
