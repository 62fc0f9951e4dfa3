"""Addition, with an activation where one is fused: one rounding for both summands."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.nn import FloatFunctional
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.arithmetic.training import activation_dtype
from horizon.quantization.layers.activation import Activation
from horizon.quantization.layers.broadcast import broadcast, check_shapes
from horizon.quantization.layers.converted import (
    QuantizedFunctional,
    bits_of,
    ratio_tensor,
    scale_of,
)
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor
from horizon.quantization.remedies import SCALAR


def prepared_add(layer: QATLayer, act: Activation, x: QTensor, y: QTensor) -> QTensor:
    """The sum in calibration and in training; ``layer.act_quant`` has its scale."""
    quant = layer.act_quant
    x, y = broadcast(layer.layer, x, y)
    if layer.in_float:
        return layer.real_result(act(x.values + y.values), quant.bits)
    if quant.follows:
        quant.follow(act(x.dequantize() + y.dequantize()).detach().abs().max())
    out = quant.current()
    first, second = (t.one_scale(layer.layer) / out for t in (x, y))
    kind = activation_dtype(quant.bits, x.device)
    limits = act.limits(out, quant.low, quant.high)
    values = act.requantize(x.values.float(), first, limits, y.values, second, kind)
    return QTensor(values, out, quant.bits)


def plan_add(layer: str, x: QTensor, y: QTensor) -> None:
    """InputError for summands that cannot be added."""
    refuse_plain(layer, x, y)
    for summand in (x, y):
        if not isinstance(summand, QTensor):
            raise InputError(
                f"{layer}: {summand!r} is added to a quantised tensor; put a number into {SCALAR}"
            )
        summand.one_scale(layer)
    refuse_accumulators(layer, x, y)
    check_shapes(layer, x, y)


def bind_add(input: Any, other: Any, *, alpha: float = 1) -> Bound:
    """``input + other`` as a layer."""
    if alpha != 1:
        raise InputError(f"torch.add(alpha={alpha}): multiply the second summand before")
    return Bound("add", (), FloatFunctional, ("add", input, other))


def lower_add(layer: QATLayer, operation: str, act: Activation, *operands: QTensor) -> QuantizedAdd:
    """The converted addition for summands of these scales."""
    quant = layer.act_quant
    refuse_accumulators(layer.layer, *operands)
    out = quant.current()
    ratios = [
        (t.one_scale(layer.layer).double() / out.double()).view(1).cpu().numpy() for t in operands
    ]
    first, second, *below, shift = act.multipliers(ratios[0], ratios[1], layer.layer)
    assert second is not None
    slopes = [int(column[0]) for column in below if column is not None]
    added = QuantizedAdd(
        layer.layer,
        (int(first[0]), int(second[0]), int(shift[0])),
        out.detach().clone(),
        quant.bits,
        act.limits(out, quant.low, quant.high),
        (slopes[0], slopes[1]) if slopes else None,
    )
    added.operation = operation
    return added


class QuantizedAdd(QuantizedFunctional):
    """The converted addition.

    Args:
        ratios: multipliers and the shift (Ma, Mb, s).
        limits: of the sum; those of its type unless given.
        negative: multipliers where the sum is below zero.
    """

    operation = "add"

    def __init__(
        self,
        layer: str,
        ratios: tuple[int, int, int],
        scale: Tensor,
        bits: int,
        limits: tuple[int, int] | None = None,
        negative: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(layer)
        self.ratios, self.bits, self.negative = ratios, bits, negative
        self.low, self.high = limits or LIMITS[bits]
        self.register_buffer("scale", scale)

    def compute(self, first: QTensor, second: QTensor) -> QTensor:
        limits, dtype = (self.low, self.high), DTYPES[self.bits]
        first, second = broadcast(self.layer, first, second)
        if first.device.type == "cpu":
            operands = first.integers(), second.integers()
            values = native.add(*operands, self.ratios, limits, dtype, self.negative)
        else:
            ma, mb, shift = self.ratios
            below = [
                ratio_tensor((multiplier, shift), first.device)
                for multiplier in self.negative or ()
            ]
            values = kernels.requantize(
                [first.values],
                None,
                ratio_tensor((ma, shift), first.device),
                *limits,
                dtype,
                second.values,
                ratio_tensor((mb, shift), first.device),
                *below,
            )
        return self.emit("add", [first, second], values, self.scale, self.bits)

    def run(self, inputs: list[QTensor], copies: int) -> QTensor:
        return self.compute(*inputs)

    def attributes(self) -> dict[str, Any]:
        ma, mb, shift = self.ratios
        found = {
            "multiplier_a": ma,
            "multiplier_b": mb,
            "shift": shift,
            "lo": self.low,
            "hi": self.high,
        }
        if self.negative is not None:
            found["negative_multiplier_a"], found["negative_multiplier_b"] = self.negative
        return found


def add_of(node: Node, graph: Graph) -> QuantizedAdd:
    """The converted layer of a node."""
    a, output = node.attributes, graph.tensors[node.output]
    return QuantizedAdd(
        node.name,
        (int(a["multiplier_a"]), int(a["multiplier_b"]), int(a["shift"])),
        scale_of(output),
        bits_of(output),
        (int(a["lo"]), int(a["hi"])),
        (int(a["negative_multiplier_a"]), int(a["negative_multiplier_b"]))
        if "negative_multiplier_a" in a
        else None,
    )


ADDITIONS = (torch.add, torch.Tensor.add, torch.Tensor.add_, torch.Tensor.__add__)
TWIN = Twin(
    operators={"add": add_of},
    calls=dict.fromkeys((*ADDITIONS, torch.Tensor.__radd__, torch.Tensor.__iadd__), bind_add),
)
