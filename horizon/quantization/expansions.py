"""Functions on quantised tensors that are carried out by several others, each in its own place.

The calls that an expansion makes are calls of the module in whose ``forward`` the function stands:
they get layers there like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.quantization.qtensor import QTensor

MODULES = (nn.GLU,)
"""Layers that do nothing but call such a function."""
ADDITIONS = {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__}
QUOTIENTS = {torch.div, torch.divide, torch.true_divide, Tensor.div, Tensor.__truediv__}
QUOTIENTS |= {Tensor.divide, Tensor.true_divide}


def expansion(
    function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[..., Any] | None:
    """A function that computes ``function(*args, **kwargs)`` by other calls; None if none can."""
    if function is functional.glu:
        return glu
    if function is torch.stack:
        return stack
    if len(args) != 2 or kwargs:
        return None
    first, second = args
    if function in ADDITIONS and 0 in (_number(first), _number(second)):
        return lambda x, y: x if isinstance(x, QTensor) else y  # as the built-in sum() begins
    divides = isinstance(second, QTensor) and isinstance(first, QTensor | Tensor)
    if function in QUOTIENTS and divides:
        return lambda x, y: x * torch.reciprocal(y)
    return None


def glu(input: Any, dim: int = -1) -> Any:
    """``first * sigmoid(second)`` of the two halves of the channels."""
    if dim not in (1, -3):
        raise InputError(f"torch.glu along axis {dim} of a quantised tensor; expected channels (1)")
    first, second = input.chunk(2, 1)
    return first * torch.sigmoid(second)


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The channels one after the other, and the new axis then moved to its place."""
    return stacked(torch.cat(list(tensors), 1), len(tensors), dim % (tensors[0].dim() + 1))


def stacked(joined: Any, count: int, dim: int) -> Any:
    """The stack of so many tensors whose channels are joined; ``dim`` counts from the front."""
    return joined.unflatten(1, (count, -1)).movedim(1, dim)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
