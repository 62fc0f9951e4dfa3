"""Functions of each element by itself, on tensors whose elements have been moved.

It does not matter for them where the elements lie: they are applied to the map that the elements
come from, and the movements stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from horizon.quantization.calls import operate
from horizon.quantization.layers import add, affine, difference, lookup, mul, rescale
from horizon.quantization.movement.rearranged import Rearranged, maps_of

TWINS = (
    lookup.TWIN,
    rescale.RELU,
    rescale.OTHERS,
    affine.TWIN,
    add.TWIN,
    difference.TWIN,
    mul.TWIN,
)
FUNCTIONS = {function for twin in TWINS for function in twin.calls}
FUNCTIONS |= {torch.maximum, torch.Tensor.maximum, torch.minimum, torch.Tensor.minimum}


def pointwise(
    function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[..., Any] | None:
    """``function`` on moved tensors, by the same function on their maps; None where that differs.

    All operands are numbers, or tensors that have been moved alike.
    """
    moved = any(isinstance(x, Rearranged) for x in args)
    found = maps_of((*args, *kwargs.values())) if moved and function in FUNCTIONS else None
    if found is None:
        return None
    x, maps = found
    names = dict(zip(kwargs, maps[len(args) :], strict=True))
    return lambda *_, **__: x.with_source(operate(function, maps[: len(args)], names))
