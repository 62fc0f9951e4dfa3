"""Multiplication of two quantised tensors, element by element: one rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.nn import FloatFunctional
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.layers.broadcast import broadcast, sides_fit
from horizon.quantization.layers.converted import QuantizedFunctional, bits_of, scale_of
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.products import product_ratio, rounded_product
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor


def prepared_mul(layer: QATLayer, x: QTensor, y: QTensor) -> QTensor:
    """The product in calibration and in training; ``layer.act_quant`` has its scale."""
    x, y = one_whole(layer.layer, x, y)
    if layer.in_float:
        return layer.real_result(x.values * y.values, layer.act_quant.bits)
    # bfloat16 would not hold the products.
    return rounded_product(layer, x.values.float() * y.values.float(), x, y)


def plan_mul(layer: str, x: QTensor, y: QTensor) -> None:
    """InputError for factors that cannot be multiplied."""
    refuse_plain(layer, x, y)
    for factor in (x, y):
        if not isinstance(factor, QTensor):
            raise InputError(
                f"{layer}: a quantised tensor times {factor!r} by mul; call mul_scalar(x, {factor})"
            )
        factor.one_scale(layer)
    refuse_accumulators(layer, x, y, verb="multiplies")
    check_factors(layer, x, y)


def check_factors(layer: str, x: QTensor, y: QTensor) -> None:
    """InputError unless each side of one factor is that of the other, or 1."""
    if not sides_fit(x, y):
        raise InputError(
            f"{layer}: factors of shapes {tuple(x.shape)} and {tuple(y.shape)}; expected each side "
            "of one to be that of the other, or 1: bring one of them to the size of the product, "
            "by a convolution or by nn.Upsample"
        )


def one_whole(layer: str, x: QTensor, y: QTensor) -> tuple[QTensor, QTensor]:
    """Factors of which one has the shape of the product, as the instruction wants it.

    Raises:
        InputError: shapes that do not fit.
    """
    check_factors(layer, x, y)
    shape = torch.broadcast_shapes(x.shape, y.shape)
    return (x, y) if shape in (x.shape, y.shape) else broadcast(layer, x, y)


def bind_mul(input: Any, other: Any) -> Bound | None:
    """``input * other`` as a layer; None where one of them is a number, which needs none."""
    if isinstance(input, QTensor) and isinstance(other, QTensor):
        return Bound("mul", (), FloatFunctional, ("mul", input, other))
    return None


def lower_mul(layer: QATLayer, x: QTensor, y: QTensor) -> QuantizedMul:
    """The converted multiplication for factors of these scales."""
    quant = layer.act_quant
    refuse_accumulators(layer.layer, x, y, verb="multiplies")
    scale = quant.current().detach().clone()
    return QuantizedMul(layer.layer, product_ratio(layer, x, y), scale, quant.bits)


class QuantizedMul(QuantizedFunctional):
    """The converted multiplication.

    Args:
        ratio: multiplier and shift.
        limits: of the product; those of its type unless given.
    """

    operation = "mul"

    def __init__(
        self,
        layer: str,
        ratio: tuple[int, int],
        scale: Tensor,
        bits: int,
        limits: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(layer)
        self.ratio, self.bits = ratio, bits
        self.limits = limits or LIMITS[bits]
        self.register_buffer("scale", scale)

    def compute(self, first: QTensor, second: QTensor) -> QTensor:
        first, second = one_whole(self.layer, first, second)
        if first.values.numel() < second.values.numel():
            first, second = second, first  # the instruction's second operand is the smaller one
        multiply = native.multiply if first.device.type == "cpu" else kernels.multiply
        factors = first.integers(), second.integers()
        values = multiply(*factors, self.ratio, self.limits, DTYPES[self.bits])
        return self.emit("mul", [first, second], values, self.scale, self.bits)

    def run(self, inputs: list[QTensor], copies: int) -> QTensor:
        return self.compute(*inputs)

    def attributes(self) -> dict[str, Any]:
        (multiplier, shift), (lo, hi) = self.ratio, self.limits
        return {"multiplier": multiplier, "shift": shift, "lo": lo, "hi": hi}


def mul_of(node: Node, graph: Graph) -> QuantizedMul:
    """The converted layer of a node."""
    a, output = node.attributes, graph.tensors[node.output]
    return QuantizedMul(
        node.name,
        (int(a["multiplier"]), int(a["shift"])),
        scale_of(output),
        bits_of(output),
        (int(a["lo"]), int(a["hi"])),
    )


PRODUCTS = (
    *(torch.mul, torch.multiply, torch.Tensor.mul, torch.Tensor.mul_, torch.Tensor.multiply),
    *(torch.Tensor.multiply_, torch.Tensor.__mul__, torch.Tensor.__rmul__, torch.Tensor.__imul__),
)
TWIN = Twin(operators={"mul": mul_of}, calls=dict.fromkeys(PRODUCTS, bind_mul))
