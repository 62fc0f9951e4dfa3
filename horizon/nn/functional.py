"""Arithmetic between tensors as modules, so that quantisation can replace each place by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class FloatFunctional(nn.Module):
    """One addition, concatenation or multiplication by a number.

    A quantised network needs a scale for the result of every such operation. Each place in a
    network therefore owns an instance and calls exactly one of its methods; the instance's name
    is the name of the operation in every later stage. In float the methods are the torch
    functions, and nothing is stored.

    The methods go through ``forward``, so that forward hooks see these operations too.
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

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """``x + y``; both have the same shape."""
        return self("add", x, y)

    def cat(self, tensors: Sequence[Tensor], dim: int = 1) -> Tensor:
        """The tensors one after another along ``dim`` (channels unless said otherwise)."""
        return self("cat", list(tensors), dim)

    def mul_scalar(self, x: Tensor, factor: float) -> Tensor:
        """``x * factor``. In fixed point it changes the scale and leaves the integers alone."""
        return self("mul_scalar", x, factor)
