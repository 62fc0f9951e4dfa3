"""Activations in floating-point operators of ONNX, opset 20."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from horizon.hbir.activations import SELU_ALPHA, SELU_SCALE, parse_activation

if TYPE_CHECKING:
    from horizon.hbir.onnx_builder import Builder


def add_activation(builder: Builder, text: str, x: str) -> str:
    """Append the activation of a text to the float32 tensor ``x``; the name of the result."""
    name, parameters = parse_activation(text)
    return FORMS[name](builder, x, *parameters)


def _number(builder: Builder, value: float) -> str:
    return builder.constant(value, "float32")


def _times(builder: Builder, x: str, factor: float) -> str:
    return x if factor == 1 else builder.add("Mul", x, _number(builder, factor))


def _operator(name: str, **attributes: Any) -> Callable[[Builder, str], str]:
    return lambda builder, x: builder.add(name, x, **attributes)


def _softplus(builder: Builder, x: str, beta: float, threshold: float) -> str:
    scaled = _times(builder, x, beta)
    curve = _times(builder, builder.add("Softplus", scaled), 1 / beta)
    straight = builder.add("Greater", scaled, _number(builder, threshold))
    return builder.add("Where", straight, x, curve)


def _hardshrink(builder: Builder, x: str, lambd: float) -> str:
    outside = builder.add("Greater", builder.add("Abs", x), _number(builder, lambd))
    return builder.add("Where", outside, x, _number(builder, 0.0))


def _softshrink(builder: Builder, x: str, lambd: float) -> str:
    above = builder.add("Relu", builder.add("Sub", x, _number(builder, lambd)))
    below = builder.add("Relu", builder.add("Sub", builder.add("Neg", x), _number(builder, lambd)))
    return builder.add("Sub", above, below)


def _threshold(builder: Builder, x: str, threshold: float, value: float) -> str:
    above = builder.add("Greater", x, _number(builder, threshold))
    return builder.add("Where", above, x, _number(builder, value))


def _at_least(builder: Builder, x: str, value: float) -> str:
    return builder.add("Max", x, _number(builder, value))


def _away_from_zero(builder: Builder, x: str, floor: float) -> str:
    # The input's steps are as large as the floor: only 0 is nearer.
    near = builder.add("Less", builder.add("Abs", x), _number(builder, floor / 2))
    return builder.add("Where", near, _number(builder, floor), x)


def _reciprocal(builder: Builder, x: str, numerator: float, floor: float) -> str:
    return builder.add("Div", _number(builder, numerator), _away_from_zero(builder, x, floor))


def _pow(builder: Builder, x: str, exponent: float, floor: float) -> str:
    if exponent % 1:
        x = _at_least(builder, x, floor if exponent < 0 else 0.0)
    elif exponent < 0:
        x = _away_from_zero(builder, x, floor)
    return builder.add("Pow", x, _number(builder, exponent))


LARGEST_EXPONENT = 88.0
"""exp of it is within float32."""

FORMS: dict[str, Callable[..., str]] = {
    "sigmoid": _operator("Sigmoid"),
    "tanh": _operator("Tanh"),
    "silu": lambda builder, x: builder.add("Mul", x, builder.add("Sigmoid", x)),
    "gelu": _operator("Gelu"),
    "gelu_tanh": _operator("Gelu", approximate="tanh"),
    "mish": lambda builder, x: builder.add(
        "Mul", x, builder.add("Tanh", builder.add("Softplus", x))
    ),
    "hardswish": _operator("HardSwish"),
    "hardsigmoid": _operator("HardSigmoid", alpha=1 / 6, beta=0.5),
    "elu": lambda builder, x, alpha: builder.add("Elu", x, alpha=alpha),
    "celu": lambda builder, x, alpha: builder.add("Celu", x, alpha=alpha),
    "selu": _operator("Selu", alpha=float(SELU_ALPHA), gamma=float(SELU_SCALE)),
    "softplus": _softplus,
    "logsigmoid": lambda builder, x: builder.add(
        "Neg", builder.add("Softplus", builder.add("Neg", x))
    ),
    "softsign": _operator("Softsign"),
    "tanhshrink": lambda builder, x: builder.add("Sub", x, builder.add("Tanh", x)),
    "hardshrink": _hardshrink,
    "softshrink": _softshrink,
    "threshold": _threshold,
    "exp": lambda builder, x: builder.add(
        "Exp", builder.add("Min", x, _number(builder, LARGEST_EXPONENT))
    ),
    "erf": _operator("Erf"),
    "sin": _operator("Sin"),
    "cos": _operator("Cos"),
    "square": lambda builder, x: builder.add("Mul", x, x),
    "sqrt": lambda builder, x: builder.add("Sqrt", builder.add("Relu", x)),
    "rsqrt": lambda builder, x, floor: builder.add(
        "Reciprocal", builder.add("Sqrt", _at_least(builder, x, floor))
    ),
    "log": lambda builder, x, floor: builder.add("Log", _at_least(builder, x, floor)),
    "reciprocal": _reciprocal,
    "pow": _pow,
}
