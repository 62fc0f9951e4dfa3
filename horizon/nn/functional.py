"""Arithmetic between tensors as modules, so that quantisation can replace each place by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class Functional(nn.Module):
    """The calls of one operation on two tensors, or of one concatenation.

    They go through ``forward``, so that forward hooks see these operations too.
    """

    def add(self, x: Any, y: Any) -> Any:
        """``x + y``; sides of one of them may be 1."""
        return self("add", x, y)

    def sub(self, x: Any, y: Any) -> Any:
        """``x - y``; sides of one of them may be 1."""
        return self("sub", x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger one, element by element; sides of one of them may be 1."""
        return self("maximum", x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        """The smaller one, element by element; sides of one of them may be 1."""
        return self("minimum", x, y)

    def add_relu(self, x: Any, y: Any) -> Any:
        """``relu(x + y)``; sides of one of them may be 1."""
        return self("add_relu", x, y)

    def mul(self, x: Any, y: Any) -> Any:
        """``x * y``, element by element; sides of one of them may be 1."""
        return self("mul", x, y)

    def add_scalar(self, x: Any, number: float) -> Any:
        """``x + number``: in real numbers only."""
        return self("add_scalar", x, number)

    def matmul(self, x: Any, y: Any) -> Any:
        """``x @ y``. Quantised, it gets a layer where it is called, as ``torch.matmul`` does."""
        return torch.matmul(x, y)

    def cat(self, tensors: Sequence[Any], dim: int = 1) -> Any:
        """The tensors one after another along ``dim`` (channels unless said otherwise)."""
        return self("cat", list(tensors), dim)

    def mul_scalar(self, x: Any, factor: float) -> Any:
        """``x * factor``. In fixed point it changes the scale and leaves the integers alone."""
        return self("mul_scalar", x, factor)


class FloatFunctional(Functional):
    """One operation on two tensors (add, sub, mul, matmul, maximum, minimum), or one concatenation.

    A quantised network needs a scale for the result of every such operation, and the instance's
    name is the name of the operation in every later stage. An instance that is called in several
    places has a scale for each where the network is prepared with an example input. In float the
    methods are the torch functions, and nothing is stored.
    """

    def forward(self, operation: str, *operands: Any) -> Any:
        """Carry out the method of this name."""
        if operation in ("add", "add_scalar"):
            x, y = operands
            return x + y
        if operation in ("sub", "maximum", "minimum"):
            function: Any = getattr(torch, operation)
            return function(*operands)
        if operation == "add_relu":
            x, y = operands
            return torch.relu(x + y)
        if operation == "cat":
            tensors, dim = operands
            return torch.cat(list(tensors), dim=dim)
        if operation in ("mul", "mul_scalar"):
            x, factor = operands
            return x * factor
        raise RuntimeError(
            f"FloatFunctional has no operation {operation!r}; call add(x, y), sub(x, y), "
            "mul(x, y), maximum(x, y), minimum(x, y), cat(tensors) or mul_scalar(x, factor)"
        )
