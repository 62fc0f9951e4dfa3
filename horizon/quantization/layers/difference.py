"""Subtraction: one rounding for both operands.

In a program ``a - b`` is a 1x1 depthwise convolution of b with weights -1, whose residual is a:
both get a multiplier, and the sum is rounded once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from horizon.errors import InputError
from horizon.hbir.fixed_point import align_ratios
from horizon.nn import FloatFunctional
from horizon.quantization.arithmetic import kernels
from horizon.quantization.layers.activation import Activation
from horizon.quantization.layers.add import plan_add, prepared_add
from horizon.quantization.layers.broadcast import broadcast
from horizon.quantization.layers.converted import QuantizedFunctional, ratio_tensor
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor

NO_ACTIVATION = Activation(None)


def prepared_sub(layer: QATLayer, x: QTensor, y: QTensor) -> QTensor:
    """The difference in calibration and in training; ``layer.act_quant`` has its scale."""
    return prepared_add(layer, NO_ACTIVATION, x, replace(y, values=-y.values))


def lower_sub(layer: QATLayer, x: QTensor, y: QTensor) -> QuantizedSub:
    """The converted subtraction for operands of these scales."""
    quant = layer.act_quant
    refuse_accumulators(layer.layer, x, y, verb="subtracts")
    out = quant.current()
    ratios = [
        (t.one_scale(layer.layer).double() / out.double()).view(1).cpu().numpy() for t in (y, x)
    ]
    subtracted, kept, shift = (
        int(column[0]) for column in align_ratios(ratios[0], ratios[1], layer.layer)
    )
    return QuantizedSub(
        layer.layer, (kept, subtracted, shift), out.detach().clone(), quant.bits, LIMITS[quant.bits]
    )


class QuantizedSub(QuantizedFunctional):
    """The converted subtraction.

    Args:
        ratios: multipliers of both operands and the shift (Ma, Mb, s).
        limits: of the difference.
    """

    operation = "sub"

    def __init__(
        self,
        layer: str,
        ratios: tuple[int, int, int],
        scale: Tensor,
        bits: int,
        limits: tuple[int, int],
    ) -> None:
        super().__init__(layer)
        self.ratios, self.bits, self.limits = ratios, bits, limits
        self.channels = 0
        self.register_buffer("scale", scale)

    def compute(self, x: QTensor, y: QTensor) -> QTensor:
        x, y = broadcast(self.layer, x, y)
        self.channels = x.shape[1]
        ma, mb, shift = self.ratios
        values = kernels.requantize(
            [-y.values.int()],
            None,
            ratio_tensor((mb, shift), x.device),
            *self.limits,
            DTYPES[self.bits],
            x.values,
            ratio_tensor((ma, shift), x.device),
        )
        return self.emit("conv2d", [y, x], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        kept, subtracted, shift = (np.full(self.channels, value, np.int64) for value in self.ratios)
        return {
            "weight": np.full((self.channels, 1, 1, 1), -1, np.int8),
            "bias": np.zeros(self.channels, np.int32),
            "stride": (1, 1),
            "padding": (0, 0),
            "dilation": (1, 1),
            "groups": self.channels,
            "multiplier": subtracted,
            "residual_multiplier": kept,
            "shift": shift,
            "lo": self.limits[0],
            "hi": self.limits[1],
        }


def plan_sub(layer: str, x: Any, y: Any) -> None:
    """InputError for operands that cannot be subtracted."""
    plan_add(layer, x, y)


def bind_sub(input: Any, other: Any, *, alpha: float = 1) -> Bound | None:
    """``input - other`` as a layer; None where one of them is no quantised tensor."""
    if alpha != 1:
        raise InputError(f"torch.sub(alpha={alpha}): multiply the second operand before")
    if isinstance(input, QTensor) and isinstance(other, QTensor):
        return Bound("sub", (), FloatFunctional, ("sub", input, other))
    return None


def bind_rsub(input: Any, other: Any, *, alpha: float = 1) -> Bound | None:
    """``other - input`` as a layer."""
    return bind_sub(other, input, alpha=alpha)


SUBTRACTIONS = (
    *(torch.sub, torch.subtract, torch.Tensor.sub, torch.Tensor.sub_, torch.Tensor.subtract),
    *(torch.Tensor.subtract_, torch.Tensor.__sub__, torch.Tensor.__isub__),
)
TWIN = Twin(
    calls=dict.fromkeys(SUBTRACTIONS, bind_sub)
    | dict.fromkeys((torch.rsub, torch.Tensor.__rsub__), bind_rsub),
)
