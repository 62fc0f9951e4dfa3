"""Matrix products of two quantised maps, as the operator ``matmul`` has them: one rounding.

Which maps stand for the factors of ``q @ k`` is found elsewhere
(:mod:`horizon.quantization.movement.matrices`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT
from horizon.nn.map_product import map_product
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.layers.converted import QuantizedLayer, bits_of, scale_of
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.products import product_ratio, rounded_product
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantize


class MatrixProduct(nn.Module):
    """:func:`map_product` in real numbers."""

    def __init__(self, heads: int, transposed: bool) -> None:
        super().__init__()
        self.heads, self.transposed = heads, transposed

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return map_product(first, second, self.heads, self.transposed)


class QATMatrixProduct(QATLayer):
    """The prepared product, to a scale of its own."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, MatrixProduct)
        self.heads, self.transposed = source.heads, source.transposed
        self.add_module("act_quant", FakeQuantize(qconfig.activation, layer))

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        assert isinstance(source, MatrixProduct)
        refuse_plain(layer, *inputs)
        for x in inputs:
            x.one_scale(layer)
        refuse_accumulators(layer, *inputs, verb="multiplies")
        check_sums(layer, source.heads, *inputs)
        return None, qconfig.activation.bits

    def forward(self, first: QTensor, second: QTensor) -> QTensor:
        self.check(first, second)
        if self.exact:
            result: QTensor = self.lowered(first, second)(first, second)
            return result
        form = self.heads, self.transposed
        if self.in_float:
            y = map_product(first.values, second.values, *form)
            return self.real_result(y, self.act_quant.bits)
        # bfloat16 would not hold the sums.
        with torch.autocast(first.device.type, enabled=False):
            sums = map_product(first.values.float(), second.values.float(), *form)
        return rounded_product(self, sums, first, second)

    def lower(self, first: QTensor, second: QTensor) -> QuantizedMatrixProduct:
        quant = self.act_quant
        refuse_accumulators(self.layer, first, second, verb="multiplies")
        check_sums(self.layer, self.heads, first, second)
        form, ratio = (self.heads, self.transposed), product_ratio(self, first, second)
        scale = quant.current().detach().clone()
        return QuantizedMatrixProduct(self.layer, form, ratio, scale, quant.bits)


def check_sums(layer: str, heads: int, first: QTensor, second: QTensor) -> None:
    """InputError where the sums could overflow."""
    summands = first.shape[1] // heads
    bound = summands * LIMITS[first.bits][0] * LIMITS[second.bits][0]
    if bound >= ACCUMULATOR_LIMIT:
        raise InputError(
            f"{layer}: a sum of {summands} products of int{first.bits} and int{second.bits} could "
            f"reach {bound}; expected below 2**28; use int8 inputs, or smaller matrices"
        )


class QuantizedMatrixProduct(QuantizedLayer):
    """The converted product.

    Args:
        form: heads, and whether the second map is transposed.
        ratio: multiplier and shift.
        limits: of the result; those of its type unless given.
    """

    def __init__(
        self,
        layer: str,
        form: tuple[int, bool],
        ratio: tuple[int, int],
        scale: Tensor,
        bits: int,
        limits: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(layer)
        self.form, self.ratio, self.bits = form, ratio, bits
        self.limits = limits or LIMITS[bits]
        self.register_buffer("scale", scale)

    def forward(self, first: QTensor, second: QTensor) -> QTensor:
        product = native.matrix_product if first.device.type == "cpu" else kernels.matrix_product
        factors = first.integers(), second.integers()
        values = product(*factors, *self.form, self.ratio, self.limits, DTYPES[self.bits])
        return self.emit("matmul", [first, second], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        heads, transposed = self.form
        (multiplier, shift), (lo, hi) = self.ratio, self.limits
        return {
            "heads": heads,
            "transposed": int(transposed),
            "multiplier": multiplier,
            "shift": shift,
            "lo": lo,
            "hi": hi,
        }


def matmul_of(node: Node, graph: Graph) -> QuantizedMatrixProduct:
    """The converted layer of a node."""
    a, output = node.attributes, graph.tensors[node.output]
    return QuantizedMatrixProduct(
        node.name,
        (int(a["heads"]), bool(a["transposed"])),
        (int(a["multiplier"]), int(a["shift"])),
        scale_of(output),
        bits_of(output),
        (int(a["lo"]), int(a["hi"])),
    )


def bind_product(first: Any, second: Any, heads: int, transposed: bool) -> Bound:
    """``map_product`` as a layer."""
    form = heads, transposed
    return Bound("matmul", form, lambda: MatrixProduct(*form), (first, second))


TWIN = Twin((MatrixProduct,), QATMatrixProduct, {"matmul": matmul_of}, {map_product: bind_product})
