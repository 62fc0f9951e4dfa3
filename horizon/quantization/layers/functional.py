"""The layer of one addition, multiplication or concatenation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.ao.nn import quantized as torch_quantized

from horizon.errors import InputError
from horizon.nn import FloatFunctional
from horizon.nn.functional import Functional
from horizon.quantization.fuse import FusedAdd
from horizon.quantization.layers.activation import Activation
from horizon.quantization.layers.add import lower_add, plan_add, prepared_add
from horizon.quantization.layers.concat import lower_cat, plan_cat, prepared_cat
from horizon.quantization.layers.converted import QuantizedFunctional
from horizon.quantization.layers.difference import lower_sub, plan_sub, prepared_sub
from horizon.quantization.layers.extremum import (
    CHOOSE,
    lower_extremum,
    plan_extremum,
    prepared_extremum,
)
from horizon.quantization.layers.mul import lower_mul, plan_mul, prepared_mul
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.layers.twin import Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor
from horizon.quantization.remedies import instead_of_call
from horizon.quantization.scales.fake_quantize import FakeQuantize


class QATFunctional(QATLayer, Functional):
    """One operation on two tensors, a multiplication by a number, or a concatenation.

    ``act_quant`` is the scale of a sum or a product; of the result of a concatenation with
    ``concat="requantise"``; with "fold", of the inputs that have not its bits (int16 among int8).
    """

    elementwise = True  # A concatenation has its tensors in a list, in which they are not found.

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        self.concat = qconfig.concat
        config = qconfig.activation
        if config.qat_scale == "learned":
            # What this place does is known only when it runs; a scale that nothing uses would
            # have no gradient, which is an error among several processes.
            config = replace(config, qat_scale="fixed")
        self.activation = Activation(source.act if isinstance(source, FusedAdd) else None)
        self.activation.one_slope(layer)
        self.add_module("act_quant", FakeQuantize(config, layer))

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        operation, *operands = inputs
        check_operation(layer, operation)
        if operation == "cat":
            return plan_cat(layer, qconfig, operands[0], operands[1])
        if operation == "mul_scalar":
            result = operands[0].scaled(operands[1])
            return result.scale, result.bits
        PLANS.get(operation, plan_add)(layer, *operands)
        return None, qconfig.activation.bits

    def forward(self, operation: str, *operands: Any) -> QTensor:
        check_operation(self.layer, operation)
        inputs = operands[0] if operation == "cat" else operands[: OPERANDS[operation]]
        self.check(*inputs)
        if self.exact:
            result: QTensor = self.lowered(operation, *operands)(operation, *operands)
            return result
        if operation == "mul_scalar":
            return operands[0].scaled(operands[1])
        if operation == "cat":
            return prepared_cat(self, self.concat, *operands)
        if operation == "mul":
            return prepared_mul(self, *operands)
        if operation == "sub":
            return prepared_sub(self, *operands)
        if operation in CHOOSE:
            return prepared_extremum(self, operation, *operands)
        return prepared_add(self, self._act(operation), *operands)

    def lower(self, operation: str, *operands: Any) -> QuantizedFunctional:
        if operation == "mul_scalar":
            return QuantizedScaling(self.layer)
        if operation == "cat":
            return lower_cat(self, self.concat, *operands)
        if operation == "mul":
            return lower_mul(self, *operands)
        if operation == "sub":
            return lower_sub(self, *operands)
        if operation in CHOOSE:
            return lower_extremum(self, operation, *operands)
        return lower_add(self, operation, self._act(operation), *operands)

    def _act(self, operation: str) -> Activation:
        return RELU if operation == "add_relu" else self.activation


OPERANDS = {
    **dict.fromkeys(("add", "add_relu", "sub", "mul", *CHOOSE), 2),
    **dict.fromkeys(("cat", "mul_scalar"), 1),
}
PLANS = {"mul": plan_mul, "sub": plan_sub, **dict.fromkeys(CHOOSE, plan_extremum)}
RELU = Activation(nn.ReLU())


def check_operation(layer: str, operation: str) -> None:
    """InputError for what a FloatFunctional of torch has and fixed point has not."""
    if operation not in OPERANDS:
        raise InputError(
            f"{layer}: FloatFunctional.{operation} has no fixed-point form; use "
            f"{instead_of_call(operation)}"
        )


class QuantizedScaling(QuantizedFunctional):
    """The converted multiplication by a number: the same integers with another scale."""

    operation = "mul_scalar"

    def compute(self, x: QTensor, factor: float) -> QTensor:
        return x.scaled(factor)


@contextmanager
def stand_ins(model: nn.Module) -> Iterator[None]:
    """Within the block, a FloatFunctional of ours stands in the place of each of torch's.

    Hooks see the calls of ours only.
    """
    changed = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent._modules.items()
        if isinstance(child, TORCHS)
    ]
    ours: dict[nn.Module, FloatFunctional] = {}
    for parent, name, child in changed:
        layer = ours.setdefault(child, FloatFunctional())
        if hasattr(child, "qconfig"):
            layer.qconfig = child.qconfig
        parent._modules[name] = layer
    try:
        yield
    finally:
        for parent, name, child in changed:
            parent._modules[name] = child


TORCHS = (torch_quantized.FloatFunctional,)
TWIN = Twin((FusedAdd, FloatFunctional, *TORCHS), QATFunctional)
