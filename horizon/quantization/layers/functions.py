"""Functions of one number that are no activations: exponential, powers, roots, logarithm, ...

Each is computed by table, as activations are. Where a function is not finite at 0, the smallest
number above 0 that its input has, the input's step, takes the place of what is less: ``floor``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir.activations import FLOORED
from horizon.quantization.layers.twin import Bound
from horizon.quantization.qtensor import QTensor

LEVELS = 127
"""Positive integers of an int8 input."""


class Function(nn.Module):
    """A function of ``horizon.hbir.activations`` as a layer, in real numbers.

    Args:
        name: of the function.
        arguments: its parameters but for ``floor``, which is 1/127 of the input's largest
            magnitude here.
    """

    def __init__(self, name: str, *arguments: float) -> None:
        super().__init__()
        self.name, self.arguments = name, arguments

    def forward(self, x: Tensor) -> Tensor:
        return REAL[self.name](x, *self.arguments, *floor_of(self.name, x))

    def extra_repr(self) -> str:
        return ", ".join(map(str, (self.name, *self.arguments)))


def floor_of(name: str, x: Tensor) -> tuple[float, ...]:
    """The parameter ``floor`` of a function, if it has one, for real numbers without a scale."""
    if name not in FLOORED:
        return ()
    return (max(float(x.detach().abs().max()) / LEVELS, torch.finfo(torch.float32).tiny),)


def _away_from_zero(x: Tensor, floor: float) -> Tensor:
    near = torch.where(x < 0, -floor, floor).to(x)
    return torch.where(x.abs() < floor, near, x)


def _positive(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` where x is above 0; 0 elsewhere, and no gradient there."""
    above = x > 0
    return torch.where(above, function(torch.where(above, x, torch.ones_like(x))), 0)


def _pow(x: Tensor, exponent: float, floor: float) -> Tensor:
    if exponent % 1 == 0:
        return (x if exponent >= 0 else _away_from_zero(x, floor)) ** exponent
    if exponent < 0:
        return x.clamp_min(floor) ** exponent
    return _positive(lambda base: base**exponent, x)


REAL: dict[str, Callable[..., Tensor]] = {
    "exp": torch.exp,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "square": torch.square,
    "sqrt": partial(_positive, torch.sqrt),
    "rsqrt": lambda x, floor: x.clamp_min(floor).rsqrt(),
    "log": lambda x, floor: x.clamp_min(floor).log(),
    "reciprocal": lambda x, numerator, floor: numerator / _away_from_zero(x, floor),
    "pow": _pow,
}
"""By name, of a tensor and the parameters of ``horizon.hbir.activations.PARAMETERS``."""


def bound(name: str, input: Any, *parameters: float) -> Bound:
    """A function of a quantised tensor as the call of a layer."""
    return Bound(name, parameters, lambda: Function(name, *parameters), (input,))


def bind_function(name: str, *parameters: float) -> Callable[..., Bound]:
    """A binder for torch's functions that are equivalent to the function of this name."""
    return lambda input: bound(name, input, *parameters)


POWERS = {2.0: ("square",), 0.5: ("sqrt",), -0.5: ("rsqrt",), -1.0: ("reciprocal", 1.0)}
"""Exponents that have a function of their own."""


def bind_pow(input: Any, exponent: Any) -> Bound:
    """``x ** number`` as a layer."""
    plain = isinstance(exponent, int | float) and not isinstance(exponent, bool)
    if not isinstance(input, QTensor) or not plain:
        raise InputError(
            "a power of a quantised tensor: expected a number as the exponent; for a number to the "
            "power of a tensor x use torch.exp(x * math.log(number))"
        )
    if not abs(exponent) < float("inf"):
        raise InputError(f"a quantised tensor to the power of {exponent}; expected a finite number")
    name, *parameters = POWERS.get(float(exponent), ("pow", float(exponent)))
    return bound(str(name), input, *map(float, parameters))


def bind_quotient(input: Any, other: Any, *, rounding_mode: str | None = None) -> Bound | None:
    """``number / x`` as a layer; None where something else is divided."""
    number = isinstance(input, int | float) and not isinstance(input, bool)
    if not number or rounding_mode is not None:
        return None
    if not abs(input) < float("inf"):
        raise InputError(f"{input} divided by a quantised tensor; expected a finite number")
    return bound("reciprocal", other, float(input))


def _calls(*names: str) -> tuple[Callable, ...]:
    """The functions and methods of torch of these names, in place or not."""
    found = [
        getattr(home, name + end, None)
        for home in (torch, torch.Tensor)
        for name in names
        for end in ("", "_")
    ]
    return tuple(function for function in found if function is not None)


FUNCTIONS: dict[Callable[..., Bound], tuple[Callable, ...]] = {
    bind_function("exp"): _calls("exp"),
    bind_function("erf"): (*_calls("erf"), torch.special.erf),
    bind_function("sin"): _calls("sin"),
    bind_function("cos"): _calls("cos"),
    bind_function("square"): _calls("square"),
    bind_function("sqrt"): _calls("sqrt"),
    bind_function("rsqrt"): _calls("rsqrt"),
    bind_function("log"): _calls("log"),
    bind_function("reciprocal", 1.0): _calls("reciprocal"),
}
QUOTIENTS = _calls("div", "divide", "true_divide")
CALLS: dict[Callable, Callable[..., Bound | None]] = {
    **{function: bind for bind, functions in FUNCTIONS.items() for function in functions},
    **dict.fromkeys((*_calls("pow"), torch.Tensor.__pow__, torch.Tensor.__ipow__), bind_pow),
    **dict.fromkeys((*QUOTIENTS, torch.Tensor.__truediv__), bind_quotient),
}
