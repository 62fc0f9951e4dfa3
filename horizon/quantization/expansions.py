"""Functions on quantised tensors that are carried out by several others, each in its own place.

The calls that an expansion makes are calls of the module in whose ``forward`` the function stands:
they get layers there like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.quantization.layers.pointwise import pointwise
from horizon.quantization.movement.matrices import PRODUCTS, matrix_product
from horizon.quantization.movement.rearranged import Rearranged
from horizon.quantization.qtensor import QTensor

MODULES = (nn.GLU,)
"""Layers that do nothing but call such a function."""
NO_PRODUCT = (
    "torch.einsum({!r}) of quantised tensors: expected a matrix product of two of them, whose axes "
    "are in both and in the result, in one and in the result, or in both and summed"
)
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
    if function in PRODUCTS:
        return matmul
    if function is torch.einsum:
        return einsum
    by_map = pointwise(function, args, kwargs)
    if by_map is not None:
        return by_map
    if len(args) != 2 or kwargs:
        return None
    first, second = args
    if function in ADDITIONS and 0 in (_number(first), _number(second)):
        return lambda x, y: x if isinstance(x, QTensor) else y  # as the built-in sum() begins
    divides = isinstance(second, QTensor) and isinstance(first, QTensor | Tensor)
    if function in QUOTIENTS and divides:
        return lambda x, y: x * torch.reciprocal(y)
    return None


def matmul(input: Any, other: Any = None, *, mat2: Any = None) -> Any:
    """``input @ other``; ``torch.bmm`` has its own name for the second.

    Raises:
        InputError: a plain operand, or matrices that no maps stand for.
    """
    other = mat2 if other is None else other
    if not all(isinstance(x, QTensor | Rearranged) for x in (input, other)):
        raise InputError(
            "a matrix product of a quantised and a plain tensor: multiply by a constant matrix by "
            "nn.Conv2d of 1x1 on the map, or nn.Linear with channels last; send what else enters "
            "the quantised part through a QuantStub"
        )
    return matrix_product(input, other)


def einsum(equation: str, *operands: Any) -> Any:
    """A sum that is a matrix product, by one: axes in their order, joined, multiplied, and back.

    Raises:
        InputError: more or fewer than two operands, plain ones, or a sum of another kind.
    """
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    parts = equation.replace(" ", "").split("->")
    names = parts[0].split(",")
    quantised = all(isinstance(x, QTensor | Rearranged) for x in operands)
    plain = len(parts) == 2 and len(names) == len(operands) == 2 and "." not in equation
    if not (plain and quantised) or any(len(set(n)) < len(n) for n in (*names, parts[1])):
        raise InputError(NO_PRODUCT.format(equation))
    (first, second), result = names, parts[1]
    batch = [axis for axis in first if axis in second and axis in result]
    summed = [axis for axis in first if axis in second and axis not in result]
    rows = [axis for axis in first if axis not in second]
    columns = [axis for axis in second if axis not in first]
    if sorted(result) != sorted((*batch, *rows, *columns)) or not summed:
        raise InputError(NO_PRODUCT.format(equation))
    sizes = dict(zip(first + second, (*operands[0].shape, *operands[1].shape), strict=True))

    def matrix(x: Any, axes: str, *order: list[str]) -> Any:
        x = x.permute([axes.index(axis) for group in order for axis in group])
        joined = [math.prod(sizes[axis] for axis in group) for group in order[1:]]
        return x.reshape(*(sizes[axis] for axis in batch), *joined)

    product = matrix_product(
        matrix(operands[0], first, batch, rows, summed),
        matrix(operands[1], second, batch, summed, columns),
    )
    made = [*batch, *rows, *columns]
    product = product.reshape(*(sizes[axis] for axis in made))
    return product.permute([made.index(axis) for axis in result])


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
