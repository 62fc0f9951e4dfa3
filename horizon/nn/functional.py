"""Arithmetic between tensors as modules, so that quantisation can replace each place by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class Functional(nn.Module):
    """The calls of one addition, concatenation or multiplication by a number.

    They go through ``forward``, so that forward hooks see these operations too.
    """

    def add(self, x: Any, y: Any) -> Any:
        """``x + y``; both have the same shape."""
        return self("add", x, y)

    def cat(self, tensors: Sequence[Any], dim: int = 1) -> Any:
        """The tensors one after another along ``dim`` (channels unless said otherwise)."""
        return self("cat", list(tensors), dim)

    def mul_scalar(self, x: Any, factor: float) -> Any:
        """``x * factor``. In fixed point it changes the scale and leaves the integers alone."""
        return self("mul_scalar", x, factor)


class FloatFunctional(Functional):
    """One addition, concatenation or multiplication by a number.

    A quantised network needs a scale for the result of every such operation. Each place in a
    network therefore owns an instance and calls exactly one of its methods; the instance's name
    is the name of the operation in every later stage. In float the methods are the torch
    functions, and nothing is stored.
    """

    def forward(self, operation: str, *operands: Any) -> Any:
        """Carry out ``"add"``, ``"cat"`` or ``"mul_scalar"``; see the methods of these names."""
        if operation == "add":
            x, y = operands
            return x + y
        if operation == "cat":
            tensors, dim = operands
            return torch.cat(list(tensors), dim=dim)
        if operation == "mul_scalar":
            x, factor = operands
            return x * factor
        raise RuntimeError(
            f"FloatFunctional has no operation {operation!r}; call add(x, y), cat(tensors) or "
            "mul_scalar(x, factor)"
        )
