"""Activations and other functions by table: the int8 input is the place of the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.hbir.activations import FIRST, FLOORED, activation, activation_table
from horizon.quantization.arithmetic import native
from horizon.quantization.arithmetic.training import activation_dtype, replaced_ste
from horizon.quantization.layers import functions
from horizon.quantization.layers.converted import QuantizedLayer, bits_of, scale_of
from horizon.quantization.layers.prepared import QATLayer, refuse_plain
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import DTYPES, QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantize

NAMED = {
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    nn.SELU: "selu",
    nn.LogSigmoid: "logsigmoid",
    nn.Softsign: "softsign",
    nn.Tanhshrink: "tanhshrink",
}
WITH_PARAMETERS = {
    nn.ELU: ("elu", "alpha"),
    nn.CELU: ("celu", "alpha"),
    nn.Softplus: ("softplus", "beta", "threshold"),
    nn.Hardshrink: ("hardshrink", "lambd"),
    nn.Softshrink: ("softshrink", "lambd"),
    nn.Threshold: ("threshold", "threshold", "value"),
}
REAL: dict[str, Callable[..., Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "elu": functional.elu,
    "celu": functional.celu,
    "selu": functional.selu,
    "softplus": functional.softplus,
    "logsigmoid": functional.logsigmoid,
    "softsign": functional.softsign,
    "tanhshrink": functional.tanhshrink,
    "hardshrink": functional.hardshrink,
    "softshrink": functional.softshrink,
    "threshold": functional.threshold,
    **functions.REAL,
}
"""By name, of a tensor and the parameters of ``horizon.hbir.activations.PARAMETERS``."""


def function_of(source: nn.Module) -> tuple[str, tuple[float, ...]]:
    """Name and parameters of what a module computes, but for ``floor``."""
    if isinstance(source, functions.Function):
        return source.name, source.arguments
    if isinstance(source, nn.GELU):
        return gelu_form(source.approximate), ()
    for kind, (name, *parameters) in WITH_PARAMETERS.items():
        if isinstance(source, kind):
            return name, tuple(getattr(source, parameter) for parameter in parameters)
    return next(name for kind, name in NAMED.items() if isinstance(source, kind)), ()


def activation_of(source: nn.Module, step: float = 1.0) -> str:
    """The text of what a module computes, for an input of this step."""
    name, parameters = function_of(source)
    return activation(name, *parameters, *((step,) if name in FLOORED else ()))


def gelu_form(approximate: str) -> str:
    """GELU by the error function, or the form with tanh."""
    return "gelu_tanh" if approximate == "tanh" else "gelu"


class QATLookup(QATLayer):
    """A function by table, to a scale of its own.

    In training the forward pass takes the integers from the table of the present scales, and the
    gradient is that of the real function at the input.
    """

    elementwise = True

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        self.name, self.arguments = function_of(source)
        activation_of(source)  # InputError for parameters that it has no values for
        check_output(layer, qconfig.activation.bits)
        self.add_module("act_quant", FakeQuantize(qconfig.activation, layer))

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        (x,) = inputs
        refuse_plain(layer, x)
        check_output(layer, qconfig.activation.bits)
        check_input(layer, x)
        x.one_scale(layer)
        return None, qconfig.activation.bits

    def real(self, x: Tensor, *floor: float) -> Tensor:
        """The function of real numbers."""
        return REAL[self.name](x, *self.arguments, *floor)

    def floor(self, x: QTensor) -> tuple[float, ...]:
        """The parameter ``floor``, if the function has one: the step of the input."""
        if self.name not in FLOORED:
            return ()
        return (float(x.one_scale(self.layer).detach()),)

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        if self.exact:
            result: QTensor = self.lowered(x)(x)
            return result
        quant = self.act_quant
        if self.in_float:
            floor = functions.floor_of(self.name, x.values)
            return self.real_result(self.real(x.values, *floor), quant.bits)
        real = self.real(x.dequantize(), *self.floor(x))
        if quant.follows:
            quant.follow(real.detach().abs().max())
        out = quant.current()
        table = torch.from_numpy(self._table(x).copy()).to(x.device)
        kind = activation_dtype(quant.bits, x.device)
        integers = looked_up(table, x.values.detach()).to(kind)
        values = replaced_ste(real / out, integers, quant.low, quant.high)
        return QTensor(values, out, quant.bits)

    def lower(self, x: QTensor) -> QuantizedLookup:
        quant = self.act_quant
        scale = quant.current().detach().clone()
        return QuantizedLookup(self.layer, self._text(x), self._table(x), scale, quant.bits)

    def _text(self, x: QTensor) -> str:
        return activation(self.name, *self.arguments, *self.floor(x))

    def _table(self, x: QTensor) -> np.ndarray:
        check_input(self.layer, x)
        scales = x.one_scale(self.layer), self.act_quant.current()
        numbers = (float(scale.detach()) for scale in scales)
        return activation_table(self._text(x), *numbers, f"int{self.act_quant.bits}")


class QuantizedLookup(QuantizedLayer):
    """The converted activation.

    Args:
        function: its text.
        table: (256,) int8 or int16.
        scale, bits: of the output.
    """

    table: Tensor
    elementwise = True

    def __init__(
        self, layer: str, function: str, table: np.ndarray, scale: Tensor, bits: int
    ) -> None:
        super().__init__(layer)
        self.function, self.bits = function, bits
        self.register_buffer("table", torch.from_numpy(np.array(table, f"int{bits}")))
        self.register_buffer("scale", scale)

    def forward(self, x: QTensor) -> QTensor:
        check_input(self.layer, x)
        if x.device.type == "cpu":
            values = native.lookup(x.integers(), self.table.numpy(), DTYPES[self.bits])
        else:
            values = looked_up(self.table, x.values)
        return self.emit("lookup", [x], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        return {"function": self.function, "table": self.table.cpu().numpy()}


def looked_up(table: Tensor, integers: Tensor) -> Tensor:
    """The entries of integers -128..127, in any type."""
    return table[integers.long() - FIRST]


def check_input(layer: str, x: QTensor) -> None:
    """InputError unless the input has a table's 256 values."""
    if x.bits != 8:
        raise InputError(
            f"{layer}: an activation by table takes int8, and its input is int{x.bits}; give the "
            "layer that makes it a qconfig with dtype='int8'"
        )


def check_output(layer: str, bits: int) -> None:
    """InputError unless a table can hold the output."""
    if bits == 32:
        raise InputError(
            f"{layer}: an activation by table gives int8 or int16; give it "
            "get_default_qat_qconfig(dtype='int16'), or end with the convolution before it and "
            "apply it behind the DeQuantStub"
        )


def lookup_of(node: Node, graph: Graph) -> QuantizedLookup:
    """The converted layer of a node."""
    output, values = graph.tensors[node.output], node.attributes
    scale, bits = scale_of(output), bits_of(output)
    return QuantizedLookup(node.name, values["function"], values["table"], scale, bits)


def _bound(kind: type[nn.Module], input: Any, *arguments: Any) -> Bound:
    """The call of a layer of this class."""
    name = activation_of(kind(*arguments)).partition("(")[0]
    return Bound(name, arguments, lambda: kind(*arguments), (input,))


def _bind(kind: type[nn.Module]) -> Callable[..., Bound]:
    """A binder for the functions that are equivalent to a module without parameters."""

    def bind(input: Any, inplace: bool = False) -> Bound:
        return _bound(kind, input)

    return bind


def bind_gelu(input: Any, *, approximate: str = "none") -> Bound:
    """``F.gelu`` as a layer."""
    return _bound(nn.GELU, input, approximate)


def bind_elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Bound:
    """``F.elu`` as a layer."""
    return _bound(nn.ELU, input, alpha)


def bind_celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Bound:
    """``F.celu`` as a layer."""
    return _bound(nn.CELU, input, alpha)


def bind_softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Bound:
    """``F.softplus`` as a layer."""
    return _bound(nn.Softplus, input, beta, threshold)


def bind_hardshrink(input: Any, lambd: float = 0.5) -> Bound:
    """``F.hardshrink`` as a layer."""
    return _bound(nn.Hardshrink, input, lambd)


def bind_softshrink(input: Any, lambd: float = 0.5) -> Bound:
    """``F.softshrink`` as a layer."""
    return _bound(nn.Softshrink, input, lambd)


def bind_threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Bound:
    """``F.threshold`` as a layer."""
    return _bound(nn.Threshold, input, threshold, value)


FUNCTIONS: dict[Callable[..., Bound], tuple[Callable, ...]] = {
    _bind(nn.Sigmoid): (
        *(torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_),
        *(functional.sigmoid, torch.special.expit),
    ),
    _bind(nn.Tanh): (torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_, functional.tanh),
    _bind(nn.SiLU): (functional.silu,),
    _bind(nn.Mish): (functional.mish,),
    _bind(nn.Hardswish): (functional.hardswish,),
    _bind(nn.Hardsigmoid): (functional.hardsigmoid,),
    _bind(nn.SELU): (functional.selu, functional.selu_, torch.selu, torch.selu_),
    _bind(nn.LogSigmoid): (functional.logsigmoid,),
    _bind(nn.Softsign): (functional.softsign,),
    _bind(nn.Tanhshrink): (functional.tanhshrink,),
    bind_gelu: (functional.gelu,),
    bind_elu: (functional.elu, functional.elu_),
    bind_celu: (functional.celu, functional.celu_, torch.celu, torch.celu_),
    bind_softplus: (functional.softplus,),
    bind_hardshrink: (functional.hardshrink, torch.hardshrink, Tensor.hardshrink),
    bind_softshrink: (functional.softshrink,),
    bind_threshold: (*(functional.threshold, torch.threshold, torch.threshold_),),
}
TWIN = Twin(
    (*NAMED, *WITH_PARAMETERS, nn.GELU, functions.Function),
    QATLookup,
    {"lookup": lookup_of},
    {
        **{function: bind for bind, called in FUNCTIONS.items() for function in called},
        **functions.CALLS,
    },
)
