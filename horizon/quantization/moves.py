"""Operations that leave a quantised tensor's integers unchanged, and so need no layer.

Cutting, joining what has one scale, movement of elements (:mod:`horizon.quantization.movement`),
multiplication by a positive number (the scale changes), copies, conversions of the type, and
dropout, which does nothing in evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from horizon.errors import InputError
from horizon.quantization.calls import last_resort
from horizon.quantization.movement.functions import REARRANGING
from horizon.quantization.movement.matrices import PRODUCTS
from horizon.quantization.movement.rearranged import Rearranged, rearranged, refuse_rearranged
from horizon.quantization.qtensor import NHWC, QTensor, same_scale
from horizon.quantization.remedies import EXAMPLE, instead_of_call


@last_resort
def move(function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Carry out a function that leaves the integers as they are.

    Raises:
        InputError: it is none, or not with these arguments.
    """
    moved = MOVES.get(function) or REARRANGING.get(function)
    if function not in TAKE_REARRANGED:
        refuse_rearranged(shown(function), *tree_leaves((args, dict(kwargs))))
    if moved is None:
        raise InputError(refusal(function, args))
    try:
        return moved(*args, **kwargs)
    except TypeError as error:
        raise InputError(f"{shown(function)} on a quantised tensor: {error}") from error


def shown(function: Callable) -> str:
    """A function as a message names it."""
    name = function_name(function)
    sign = SIGNS.get(name)
    return f"'{sign}'" if sign else f"torch.{name}"


def function_name(function: Callable) -> str:
    """The name of a function, a method or (its ``__get__``) an attribute of torch."""
    name = getattr(function, "__name__", str(function))
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    return name.strip("_")


def refusal(function: Callable, args: Sequence[Any]) -> str:
    """Why ``function`` cannot be, and what to use instead."""
    name = function_name(function)
    if name in CAN_HAVE_A_LAYER:
        return (
            f"{shown(function)} on a quantised tensor needs a scale of its own here: {EXAMPLE}; or "
            "give the place a horizon.nn.FloatFunctional and call its add, mul, cat or mul_scalar"
        )
    return (
        f"{shown(function)} was called on a quantised tensor: it has no fixed-point form; use "
        f"{instead_of_call(name)}"
    )


def check_plain(function: Callable | str, *operands: Any) -> None:
    """InputError where a plain tensor is among the operands."""
    if any(isinstance(x, Tensor) for x in operands):
        name = function if isinstance(function, str) else shown(function)
        raise InputError(
            f"{name} of a quantised and a plain tensor (a constant, a parameter, a buffer or a "
            "dequantised one): make a constant part of a convolution's weights or bias, and send "
            "what else enters the quantised part through a QuantStub"
        )


def _index(x: QTensor | Rearranged, index: Any) -> QTensor | Rearranged:
    bounds = None if isinstance(x, Rearranged) else _ranges(x, index)
    if bounds is None:
        return rearranged(torch.Tensor.__getitem__, x, index)
    assert isinstance(x, QTensor)
    for axis, start, stop in bounds:
        x = x.cut(axis, start, stop)
    return x


def _ranges(x: QTensor, index: Any) -> list[tuple[int, int, int]] | None:
    """(axis, start, stop) for each axis that an index cuts; None where it does more than that."""
    parts = index if isinstance(index, tuple) else (index,)
    full = slice(None)
    for place, part in enumerate(parts):
        if part is Ellipsis:
            skipped = (full,) * (x.dim() - len(parts) + 1)
            parts = parts[:place] + skipped + parts[place + 1 :]
            break
    bounds = []
    for axis, part in enumerate(parts):
        if not isinstance(part, slice) or part.step not in (None, 1) or axis >= x.dim():
            return None
        if part == full:
            continue
        start, stop, _ = part.indices(x.shape[axis])
        if stop <= start:
            raise InputError(
                f"a quantised tensor of {x.shape[axis]} was indexed by {index!r}, which leaves "
                "nothing; take at least one"
            )
        bounds.append((axis, start, stop))
    return bounds


def _narrow(x: QTensor | Rearranged, dim: int, start: int, length: int) -> QTensor | Rearranged:
    if isinstance(x, Rearranged):
        return rearranged(torch.narrow, x, dim, start, length)
    return x.cut(dim % x.dim(), int(start), int(start) + length)


def _split(
    x: QTensor | Rearranged, split_size: int | Sequence[int], dim: int = 0
) -> tuple[QTensor | Rearranged, ...]:
    size = x.shape[dim]
    if isinstance(split_size, int):
        sizes = [min(split_size, size - start) for start in range(0, size, split_size)]
    else:
        sizes = list(split_size)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    if ends[-1] != size:
        raise InputError(
            f"split of a quantised tensor of {size} into {sizes}: the parts do not add up"
        )
    return tuple(_narrow(x, dim, end - n, n) for end, n in zip(ends, sizes, strict=True))


def _chunk(
    input: QTensor | Rearranged, chunks: int, dim: int = 0
) -> tuple[QTensor | Rearranged, ...]:
    return _split(input, -(-input.shape[dim] // chunks), dim)


def join(tensors: Sequence[QTensor], dim: int = 0, axis: int | None = None) -> QTensor:
    """Concatenate tensors of one scale and type, not along the channels; InputError otherwise."""
    check_plain("torch.cat", *tensors)
    dim = dim if axis is None else axis
    first, side = tensors[0], dim % 4
    one = all(t.bits == first.bits and same_scale(t.scale, first.scale) for t in tensors)
    if side == 1 or not one:
        raise InputError(
            f"torch.cat(dim={dim}) of quantised tensors needs a layer here: {EXAMPLE}; or give the "
            "place a horizon.nn.FloatFunctional and call its cat(tensors)"
        )
    result = replace(first, values=torch.cat([t.values for t in tensors], side))
    if first.recorder is not None:
        name = ("batch", "", "rows", "columns")[side]
        return first.recorder.record("concat", name, tensors, result, {"axis": NHWC[side]})
    return result


def _number(value: Any, function: str) -> float:
    check_plain(function, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{function} on a quantised tensor: use {instead_of_call('mul')}")
    return float(value)


def _multiply(x: Any, other: Any) -> QTensor:
    if isinstance(x, QTensor) and isinstance(other, QTensor):
        raise InputError(refusal(torch.mul, ()))
    quantised, factor = (x, other) if isinstance(x, QTensor) else (other, x)
    return quantised.scaled(_number(factor, "'*'"))


def _divide(x: Any, other: Any, rounding_mode: str | None = None) -> QTensor:
    if not isinstance(x, QTensor) or rounding_mode is not None:
        raise InputError(f"'/' on a quantised tensor: use {instead_of_call('div')}")
    divisor = _number(other, "'/'")
    if not divisor > 0:
        raise InputError(f"division of a quantised tensor by {other}: expected above 0")
    return x.scaled(1 / divisor)


def _itself(x: QTensor, *_: Any, **__: Any) -> QTensor:
    """Which type holds the integers is for the layers to choose."""
    return x


def _copy(x: QTensor | Rearranged, **arguments: Any) -> QTensor | Rearranged:
    return replace(x, values=x.values.contiguous(**arguments))


def _clone(x: QTensor | Rearranged, **arguments: Any) -> QTensor | Rearranged:
    return replace(x, values=x.values.clone(**arguments))


def _detach(x: QTensor) -> QTensor:
    return replace(x, values=x.values.detach())


def _dropout(function: Callable, default: float) -> Callable[..., QTensor]:
    def drop(
        input: QTensor, p: float = default, training: bool = True, inplace: bool = False
    ) -> QTensor:
        if not training or p == 0 or not input.values.is_floating_point():
            return input  # integers: the exact forward, in which nothing is dropped
        kept = function(torch.ones_like(input.values), p, True) != 0
        result = replace(input, values=input.values * kept)
        return result.scaled(1 / (1 - p)) if p < 1 else result

    return drop


SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "neg": "-", "getitem": "[]"}
CAN_HAVE_A_LAYER: set[str] = set()
"""Names of functions that have a layer where an example input showed the place."""
MOVES: dict[Callable, Callable[..., Any]] = {
    torch.Tensor.__getitem__: _index,
    **dict.fromkeys((torch.narrow, torch.Tensor.narrow), _narrow),
    **dict.fromkeys((torch.split, torch.Tensor.split), _split),
    **dict.fromkeys((torch.split_with_sizes, torch.Tensor.split_with_sizes), _split),
    **dict.fromkeys((torch.chunk, torch.Tensor.chunk), _chunk),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), join),
    **dict.fromkeys(
        (torch.mul, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__, torch.multiply),
        _multiply,
    ),
    **dict.fromkeys((torch.div, torch.Tensor.div, torch.Tensor.__truediv__), _divide),
    **dict.fromkeys((torch.true_divide, torch.Tensor.true_divide, torch.divide), _divide),
    **dict.fromkeys((torch.Tensor.to, torch.Tensor.type, torch.Tensor.type_as), _itself),
    **dict.fromkeys((torch.Tensor.float, torch.Tensor.half, torch.Tensor.double), _itself),
    **dict.fromkeys((torch.Tensor.bfloat16, torch.Tensor.requires_grad_), _itself),
    torch.Tensor.contiguous: _copy,
    **dict.fromkeys((torch.clone, torch.Tensor.clone), _clone),
    **dict.fromkeys((torch.detach, torch.Tensor.detach), _detach),
    **dict.fromkeys((functional.dropout, torch.dropout), _dropout(functional.dropout, 0.5)),
    functional.dropout2d: _dropout(functional.dropout2d, 0.5),
    **{
        method: lambda x, *args, method=method: method(x.values, *args)
        for method in (
            *(torch.Tensor.size, torch.Tensor.numel, torch.numel, torch.Tensor.stride),
            *(torch.Tensor.ndimension, torch.Tensor.is_contiguous, torch.Tensor.nelement),
            *(torch.is_floating_point, torch.Tensor.is_floating_point, torch.Tensor.get_device),
        )
    },
}


CUTTING = (_index, _narrow, _split, _chunk, _copy, _clone)
TAKE_REARRANGED = {
    *REARRANGING,
    *(*PRODUCTS, torch.einsum),
    *(function for function, moved in MOVES.items() if moved in CUTTING),
    *(torch.Tensor.size, torch.Tensor.numel, torch.numel, torch.Tensor.stride),
}
