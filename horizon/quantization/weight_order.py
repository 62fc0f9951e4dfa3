"""Where torch's weight of a convolution has its output channels.

``Conv2d`` has (O, I / groups, kh, kw), ``ConvTranspose2d`` has (I, O / groups, kh, kw): the inputs
of one group after those of another, each with the outputs of its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class WeightOrder:
    """The order of a convolution's weight; ``weight`` is one in torch's order."""

    transposed: bool = False
    groups: int = 1

    def outputs(self, weight: Tensor) -> int:
        """The number of output channels."""
        return weight.shape[1] * self.groups if self.transposed else weight.shape[0]

    def outputs_first(self, weight: Tensor) -> Tensor:
        """(O, I / groups, kh, kw)."""
        return self._swapped(weight) if self.transposed else weight

    def of_outputs_first(self, weight: Tensor) -> Tensor:
        """What :meth:`outputs_first` makes ``weight`` of."""
        return self._swapped(weight) if self.transposed else weight

    def per_output(self, values: Tensor, weight: Tensor) -> Tensor:
        """``values`` (O,) in a shape that multiplies ``weight``."""
        return self._along(1 if self.transposed else 0, values, weight)

    def per_input(self, values: Tensor, weight: Tensor) -> Tensor:
        """``values`` (I,) in a shape that multiplies ``weight``."""
        return self._along(0 if self.transposed else 1, values, weight)

    def _along(self, axis: int, values: Tensor, weight: Tensor) -> Tensor:
        if axis == 0:
            return values.view(-1, 1, 1, 1)
        columns = values.view(self.groups, -1)
        if self.groups > 1:
            columns = columns.repeat_interleave(weight.shape[0] // self.groups, 0)
        return columns[..., None, None]

    def _swapped(self, weight: Tensor) -> Tensor:
        """The two axes of channels exchanged within each group."""
        if self.groups == 1:
            return weight.transpose(0, 1)
        groups = weight.unflatten(0, (self.groups, -1))
        return groups.transpose(1, 2).flatten(0, 1)


def order_of(conv: Any) -> WeightOrder:
    """The order of the weight of a torch convolution."""
    return WeightOrder(isinstance(conv, nn.ConvTranspose2d), conv.groups)
