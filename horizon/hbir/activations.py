"""Real functions of one number, and the table of integers that one is between two scales.

An activation is named by a text, ``"silu"`` or ``"softplus(1.0,20.0)"``: its name and its
parameters, in the order of :data:`PARAMETERS`. ``docs/fixed_point.md``, "lookup", says how a table
is rounded; it does not depend on the machine's mathematical functions: what these leave open is
computed with 80 decimal digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon.hbir.fixed_point import LIMITS

ENTRIES = 256
FIRST = -128
"""The integer whose result is the table's first entry."""
DIGITS = 80
NEAR = 1e-6
"""Of a step: results of float64 that are nearer to a tie are computed again, exactly. Their own
error is below 1e-9 of a step."""
TIE = Decimal(2) ** -100
"""Of a step: what is nearer to a tie from below counts as the tie, and rounds up."""
PI = (
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534"
)
SELU_ALPHA, SELU_SCALE = "1.6732632423543772848170429916717", "1.0507009873554804934193349852946"
FORM = re.compile(r"([a-z_]+)(?:\(([^() ]*)\))?")


class Float:
    """float64, by the machine's functions."""

    number = staticmethod(float)
    exp, expm1, log1p = staticmethod(math.exp), staticmethod(math.expm1), staticmethod(math.log1p)
    tanh, erf, sqrt = staticmethod(math.tanh), staticmethod(math.erf), staticmethod(math.sqrt)
    log, sin, cos = staticmethod(math.log), staticmethod(math.sin), staticmethod(math.cos)

    @staticmethod
    def power(x: float, exponent: float) -> float:
        try:
            return math.pow(x, exponent)
        except OverflowError:
            return -math.inf if x < 0 and exponent % 2 else math.inf


class Exact:
    """Decimal numbers of the context's precision; every operation of these is correctly rounded."""

    number = Decimal

    @staticmethod
    def exp(x: Decimal) -> Decimal:
        return x.exp()

    @staticmethod
    def expm1(x: Decimal) -> Decimal:
        return x.exp() - 1

    @staticmethod
    def log1p(x: Decimal) -> Decimal:
        return (1 + x).ln()

    @staticmethod
    def sqrt(x: Any) -> Decimal:
        return Decimal(x).sqrt()

    @staticmethod
    def log(x: Decimal) -> Decimal:
        return x.ln()

    @staticmethod
    def power(x: Decimal, exponent: Decimal) -> Decimal:
        return x**exponent if exponent else Decimal(1)

    @staticmethod
    def sin(x: Decimal) -> Decimal:
        """The Taylor series at what lies a multiple of 2 pi away, within -pi..pi."""
        turn = 2 * Decimal(PI)
        x -= (x / turn).to_integral_value() * turn
        term = total = x
        factor = 1
        while abs(term) > Decimal(10) ** -DIGITS:
            factor += 2
            term = -term * x * x / (factor * (factor - 1))
            total += term
        return total

    @staticmethod
    def cos(x: Decimal) -> Decimal:
        return Exact.sin(x + Decimal(PI) / 2)

    @staticmethod
    def tanh(x: Decimal) -> Decimal:
        decay = (-2 * abs(x)).exp()
        return ((1 - decay) / (1 + decay)).copy_sign(x)

    @staticmethod
    def erf(x: Decimal) -> Decimal:
        """``2/sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!`` (DLMF 7.6.2): of one sign."""
        if abs(x) > 12:
            return Decimal(1).copy_sign(x)  # to 64 digits
        term = total = x
        odd = 1
        while abs(term) > abs(total) * Decimal(10) ** -DIGITS:
            odd += 2
            term = term * 2 * x * x / odd
            total += term
        return 2 / Decimal(PI).sqrt() * (-x * x).exp() * total


# The functions, for either kind of numbers. Exponents are limited, so that none overflows.


def _sigmoid(m: Any, x: Any) -> Any:
    decay = m.exp(-abs(x))
    return 1 / (1 + decay) if x >= 0 else decay / (1 + decay)


def _elu(m: Any, x: Any, alpha: Any) -> Any:
    return x if x > 0 else alpha * m.expm1(x)


def _selu(m: Any, x: Any) -> Any:
    return m.number(SELU_SCALE) * _elu(m, x, m.number(SELU_ALPHA))


def _softplus(m: Any, x: Any, beta: Any, threshold: Any) -> Any:
    scaled = x * beta
    return x if scaled > threshold else (max(scaled, 0) + m.log1p(m.exp(-abs(scaled)))) / beta


def _plain_softplus(m: Any, x: Any) -> Any:
    return max(x, 0) + m.log1p(m.exp(-abs(x)))


def _gelu_tanh(m: Any, x: Any) -> Any:
    # 0.5 (1 + tanh z) is the sigmoid of 2z.
    inner = m.sqrt(2 / m.number(PI)) * (x + m.number("0.044715") * x * x * x)
    return x * _sigmoid(m, 2 * inner)


def _hardsigmoid(m: Any, x: Any) -> Any:
    return min(max(x + 3, 0), 6) / m.number(6)


def _softshrink(m: Any, x: Any, lambd: Any) -> Any:
    return x - lambd if x > lambd else x + lambd if x < -lambd else 0 * x


def _away_from_zero(x: Any, floor: Any) -> Any:
    """x, and where that is nearer to 0 than ``floor``, ``floor`` with the sign of x; + for 0."""
    return x if abs(x) >= floor else -floor if x < 0 else floor


def _pow(m: Any, x: Any, exponent: Any, floor: Any) -> Any:
    if exponent % 1 == 0:
        return m.power(x if exponent >= 0 else _away_from_zero(x, floor), exponent)
    return m.power(max(x, floor if exponent < 0 else m.number(0)), exponent)


LARGEST_EXPONENT = 700
"""exp of it is above all that a step of float32 can count, and within float64."""


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": _sigmoid,
    "tanh": lambda m, x: m.tanh(x),
    "silu": lambda m, x: x * _sigmoid(m, x),
    "gelu": lambda m, x: x * (1 + m.erf(x / m.sqrt(2))) / 2,
    "gelu_tanh": _gelu_tanh,
    "mish": lambda m, x: x * m.tanh(_plain_softplus(m, x)),
    "hardswish": lambda m, x: x * _hardsigmoid(m, x),
    "hardsigmoid": _hardsigmoid,
    "elu": _elu,
    "celu": lambda m, x, alpha: x if x > 0 else alpha * m.expm1(x / alpha),
    "selu": _selu,
    "softplus": _softplus,
    "logsigmoid": lambda m, x: -_plain_softplus(m, -x),
    "softsign": lambda m, x: x / (1 + abs(x)),
    "tanhshrink": lambda m, x: x - m.tanh(x),
    "hardshrink": lambda m, x, lambd: x if abs(x) > lambd else 0 * x,
    "softshrink": _softshrink,
    "threshold": lambda m, x, threshold, value: x if x > threshold else value,
    "exp": lambda m, x: m.exp(min(x, m.number(LARGEST_EXPONENT))),
    "erf": lambda m, x: m.erf(x),
    "sin": lambda m, x: m.sin(x),
    "cos": lambda m, x: m.cos(x),
    "square": lambda m, x: x * x,
    "sqrt": lambda m, x: m.sqrt(max(x, m.number(0))),
    "rsqrt": lambda m, x, floor: 1 / m.sqrt(max(x, floor)),
    "log": lambda m, x, floor: m.log(max(x, floor)),
    "reciprocal": lambda m, x, numerator, floor: numerator / _away_from_zero(x, floor),
    "pow": _pow,
}
"""By name, of numbers ``m`` (:class:`Float` or :class:`Exact`), x and the parameters."""
PARAMETERS = {
    "elu": ("alpha",),
    "celu": ("alpha",),
    "softplus": ("beta", "threshold"),
    "hardshrink": ("lambd",),
    "softshrink": ("lambd",),
    "threshold": ("threshold", "value"),
    "rsqrt": ("floor",),
    "log": ("floor",),
    "reciprocal": ("numerator", "floor"),
    "pow": ("exponent", "floor"),
}
"""The parameters of those that have any, as torch calls them, and ``floor``."""
FLOORED = {name for name, parameters in PARAMETERS.items() if "floor" in parameters}
"""Those that are not finite at 0: ``floor`` is the smallest number above 0 that the input has, its
step, and takes the place of what is less (of what is nearer to 0, where the function has values
on both sides)."""
POSITIVE = {("celu", "alpha"), ("softplus", "beta"), *((name, "floor") for name in FLOORED)}
"""Parameters that have to be above 0."""


def activation(name: str, *parameters: float) -> str:
    """The text of an activation.

    Raises:
        InputError: parameters that it has no values for.
    """
    numbers = [float(value) for value in parameters]
    text = f"{name}({','.join(map(repr, numbers))})" if numbers else name
    parse_activation(text)
    return text


def parse_activation(text: str) -> tuple[str, tuple[float, ...]]:
    """Name and parameters of an activation.

    Raises:
        InputError: a name that there is not, or other parameters than that has.
    """
    form = FORM.fullmatch(text)
    if form is None or form[1] not in FUNCTIONS:
        raise InputError(f"activation {text!r}; expected one of {', '.join(FUNCTIONS)}")
    name, known = form[1], PARAMETERS.get(form[1], ())
    try:
        numbers = tuple(float(value) for value in form[2].split(",")) if form[2] else ()
    except ValueError:
        numbers = (math.nan,)
    if len(numbers) != len(known) or not all(map(math.isfinite, numbers)):
        expected = f"({','.join(known)}), finite numbers" if known else "no parameters"
        raise InputError(f"activation {text!r}; expected {name} with {expected}")
    for parameter, value in zip(known, numbers, strict=True):
        if (name, parameter) in POSITIVE and value <= 0:
            raise InputError(f"activation {text!r}: {parameter} {value}; expected above 0")
    return name, numbers


@lru_cache(maxsize=1024)
def activation_table(text: str, scale_in: float, scale_out: float, dtype: str) -> np.ndarray:
    """``clamp(floor(f(q * scale_in) / scale_out + 1/2))`` for q = -128..127.

    Args:
        text: of the activation f.
        scale_in, scale_out: float32 values above 0.
        dtype: "int8" or "int16".

    Returns:
        (256,) of that type, read-only; the entry of q is number q + 128.

    Raises:
        InputError: an activation that there is not.
    """
    name, parameters = parse_activation(text)
    function = FUNCTIONS[name]
    low, high = LIMITS[dtype]
    entries = []
    for q in range(FIRST, FIRST + ENTRIES):
        steps = function(Float, q * scale_in, *parameters) / scale_out + 0.5
        if low - 1 < steps < high + 2:
            entry = math.floor(steps)
            if min(steps - entry, entry + 1 - steps) < NEAR:
                entry = _exact_entry(function, q, scale_in, scale_out, parameters)
        else:
            entry = low if steps < low else high
        entries.append(min(max(entry, low), high))
    table = np.array(entries, dtype)
    table.flags.writeable = False
    return table


def _exact_entry(
    function: Callable[..., Any],
    q: int,
    scale_in: float,
    scale_out: float,
    parameters: tuple[float, ...],
) -> int:
    with localcontext(Context(prec=DIGITS, traps=[])):
        value = function(Exact, q * Decimal(scale_in), *map(Decimal, parameters))
        return math.floor(value / Decimal(scale_out) + Decimal("0.5") + TIE)
