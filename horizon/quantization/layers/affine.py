"""Arithmetic with constants: ``x + c``, ``x - c``, ``c - x``, ``x * c``, ``x / c`` and ``-x``.

What such an operation does to a channel is ``factor * x + shift``: a convolution of 1x1 that keeps
each channel to itself does it with one rounding. Its weight, one per channel, is exact, since each
channel has a step of its own. A positive number as the factor needs no layer: the scale changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.layers.conv import QATConv
from horizon.quantization.layers.conv_integers import QuantizedConv
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor

FORMS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "add": lambda c: (1.0, c),
    "sub": lambda c: (1.0, -c),
    "rsub": lambda c: (-1.0, c),
    "mul": lambda c: (c, 0.0),
    "div": lambda c: (1 / c, 0.0),
    "neg": lambda _: (-1.0, 0.0),
}
"""``factor`` and ``shift`` of an operation of a tensor and a constant."""
SIGNS = {"add": "+", "sub": "-", "rsub": "-", "mul": "*", "div": "/", "neg": "-"}


class Affine(nn.Module):
    """An operation of a tensor (N, C, H, W) and a constant, in real numbers.

    Args:
        operation: one of ``FORMS``.
        channels: of the input and of the output.
        number: the constant; None: it is a tensor, with which the layer is called.
    """

    def __init__(
        self, operation: str, channels: tuple[int, int], number: float | None = None
    ) -> None:
        super().__init__()
        self.operation, self.channels, self.number = operation, channels, number

    def forward(self, x: Tensor, *constants: Tensor) -> Tensor:
        factor, shift = FORMS[self.operation](constants[0] if constants else self.number)
        return x * factor + shift


class QuantizedAffine(QuantizedConv):
    """The converted form: constants have become weights and biases."""

    def forward(self, x: QTensor, *constants: Any) -> QTensor:
        return super().forward(x)


class QATAffine(QATConv):
    """The convolution that an operation with a constant is; constants that train go on training.

    A constant tensor comes with each call. Weight and bias follow from it.
    """

    converted: ClassVar[type[QuantizedConv]] = QuantizedAffine

    def __init__(self, source: Affine, qconfig: QConfig, layer: str) -> None:
        inputs, outputs = source.channels
        super().__init__(nn.Conv2d(inputs, outputs, 1, groups=inputs), qconfig, layer)
        del self.weight, self.bias
        self.operation, self.number, self.channels = source.operation, source.number, outputs
        self.constants: tuple[Tensor, ...] = ()

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        assert isinstance(source, Affine)
        x, *constants = inputs
        for constant in constants:
            check_constant(source.operation, constant)
        taken, given = source.channels
        conv = nn.Conv2d(taken, given, 1, groups=taken, device="meta")
        return super().plan(conv, qconfig, layer, x)

    def forward(self, x: QTensor, *constants: Tensor) -> QTensor:  # type: ignore[override]
        self.constants = constants
        try:
            return super().forward(x)
        finally:
            self.constants = tuple(constant.detach() for constant in constants)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (O, 1, 1, 1) and bias (O,)."""
        constant: Any = self.number
        if self.constants:
            constant = self.constants[0].reshape(-1)
        like = self.weight_clip
        factor, shift = (
            torch.as_tensor(value).to(like).expand(self.channels)
            for value in FORMS[self.operation](constant)
        )
        return factor.view(-1, 1, 1, 1), shift

    def lowered(self, *inputs: Any) -> nn.Module:
        return super().lowered(*inputs, *self.constants)

    def lower(self, x: QTensor, *constants: Tensor) -> QuantizedConv:  # type: ignore[override]
        self.constants = constants
        return super().lower(x)

    def calibrate_weights(self) -> None:
        """Nothing: a single weight per channel needs no clipping."""


def check_constant(operation: str, constant: Tensor) -> None:
    """InputError for values that no weight or bias can have."""
    values = constant.detach()
    sign = SIGNS[operation]
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"'{sign}' of a quantised tensor and a constant that is not finite")
    if operation == "div" and bool((values == 0).any()):
        raise InputError("a quantised tensor is divided by a constant with zeros in it")


def _number(operation: str, value: float) -> float:
    """The constant of an operation; InputError for a number that no weight or bias can be."""
    if not math.isfinite(value):
        raise InputError(f"'{SIGNS[operation]}' of a quantised tensor and {value}: not finite")
    if operation == "div" and value == 0:
        raise InputError("a quantised tensor is divided by 0")
    return float(value)


def output_channels(x: Any, constant: Any) -> int | None:
    """Channels of a map (N, C, H, W) combined with a constant; None where that is no such map.

    The constant has one value, or one for each channel: (), (C, 1, 1) or (1, C, 1, 1).
    """
    shape = tuple(constant.shape)
    if len(shape) > 4:
        return None
    batch, channels, height, width = (1,) * (4 - len(shape)) + shape
    own = int(x.shape[1])
    fits = batch == height == width == 1 and (channels in (1, own) or own == 1)
    return max(channels, own) if fits else None


def _bound(operation: str, x: QTensor, constant: Any) -> Bound | None:
    """The operation as the call of a layer; None where it is no constant, or needs no layer."""
    if isinstance(constant, bool) or not isinstance(constant, int | float | Tensor):
        return None
    own = int(x.shape[1])
    if isinstance(constant, Tensor):
        outputs = output_channels(x, constant)
        if outputs is None:
            raise InputError(
                f"'{SIGNS[operation]}' of a quantised tensor {tuple(x.shape)} and a plain tensor "
                f"{tuple(constant.shape)}: expected a constant of one value, or of one for each "
                "channel, (C, 1, 1); what differs between pixels has to be an input of the "
                "network, and enters the quantised part through a QuantStub"
            )
        config: tuple[Any, ...] = (operation, own, outputs)
        source = lambda: Affine(operation, (own, outputs))  # noqa: E731
        return Bound(operation, config, source, (x, constant))
    number = _number(operation, constant)
    if operation in ("mul", "div") and number > 0:
        return None
    config = (operation, own, number)
    return Bound(operation, config, lambda: Affine(operation, (own, own), number), (x,))


def bind(operation: str) -> Callable[..., Bound | None]:
    """A binder for torch's functions of an operation with two operands in any order."""
    swapped = {"add": "add", "mul": "mul", "sub": "rsub", "rsub": "sub"}

    def bound(
        input: Any, other: Any, *, alpha: float = 1, rounding_mode: str | None = None
    ) -> Bound | None:
        if rounding_mode is not None:
            return None
        if isinstance(input, QTensor) == isinstance(other, QTensor):
            return None
        if alpha != 1:
            raise InputError(f"alpha={alpha} in a sum: multiply the second summand before")
        if isinstance(input, QTensor):
            return _bound(operation, input, other)
        return _bound(swapped[operation], other, input) if operation in swapped else None

    return bound


def bind_neg(input: Any) -> Bound | None:
    """``-x`` as a layer."""
    own = int(input.shape[1])
    return Bound("neg", (own,), lambda: Affine("neg", (own, own), -1.0), (input,))


T = torch.Tensor
FUNCTIONS: dict[str, tuple[Callable, ...]] = {
    "add": (torch.add, T.add, T.add_, T.__add__, T.__radd__, T.__iadd__),
    "sub": (
        *(torch.sub, torch.subtract, T.sub, T.sub_, T.subtract, T.subtract_),
        *(T.__sub__, T.__isub__),
    ),
    "rsub": (torch.rsub,),
    "mul": (
        *(torch.mul, torch.multiply, T.mul, T.mul_, T.multiply, T.multiply_),
        *(T.__mul__, T.__rmul__, T.__imul__),
    ),
    "div": (
        *(torch.div, torch.divide, torch.true_divide, T.div, T.div_, T.divide, T.divide_),
        *(T.true_divide, T.true_divide_, T.__truediv__, T.__itruediv__),
    ),
    "neg": (torch.neg, torch.negative, T.neg, T.neg_, T.negative, T.negative_, T.__neg__),
}
"""The functions and methods of torch that do an operation."""
OPERATIONS = {function: name for name, functions in FUNCTIONS.items() for function in functions}
BINDERS = {name: bind_neg if name == "neg" else bind(name) for name in FUNCTIONS}
TWIN = Twin(
    (Affine,),
    QATAffine,
    calls={function: BINDERS[name] for function, name in OPERATIONS.items()},
)
