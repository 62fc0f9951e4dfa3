"""Products of two quantised tensors, by elements or as matrices: one rounding, to a scale."""

from __future__ import annotations

from torch import Tensor

from horizon.hbir.fixed_point import quantize_ratio
from horizon.quantization.arithmetic.training import activation_dtype, requantize_ste, round_ratio
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.qtensor import QTensor


def step_of(layer: str, x: QTensor, y: QTensor) -> Tensor:
    """The real value of one step of a product of integers of ``x`` and ``y``."""
    return x.one_scale(layer).double() * y.one_scale(layer).double()


def rounded_product(layer: QATLayer, product: Tensor, x: QTensor, y: QTensor) -> QTensor:
    """A product in training, as the layer's result.

    Args:
        layer: its ``act_quant`` has the scale of the result.
        product: of the integers of ``x`` and ``y``, float32.
    """
    quant, step = layer.act_quant, step_of(layer.layer, x, y)
    if quant.follows:
        quant.follow((product.detach().abs().max() * step.detach()).float())
    out = quant.current()
    kind = activation_dtype(quant.bits, product.device)
    ratio = round_ratio(step / out.double())
    values = requantize_ste(product, ratio, quant.low, quant.high, dtype=kind)
    return QTensor(values, out, quant.bits)


def product_ratio(layer: QATLayer, x: QTensor, y: QTensor) -> tuple[int, int]:
    """Multiplier and shift from products of ``x`` and ``y`` to the scale of the layer's result."""
    step = float(step_of(layer.layer, x, y))
    return quantize_ratio(step / float(layer.act_quant.current().double()), layer.layer)
