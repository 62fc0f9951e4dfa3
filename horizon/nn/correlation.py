"""The cost volume of two feature maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def shifted_products(first: Tensor, second: Tensor, max_displacement: int) -> Tensor:
    """The definition, one shift at a time; see :class:`Correlation` for shapes."""
    md = max_displacement
    height, width = first.shape[-2:]
    padded = functional.pad(second, (md, md, md, md))
    return torch.stack(
        [
            (first * padded[..., dy : dy + height, dx : dx + width]).mean(dim=1)
            for dy in range(2 * md + 1)
            for dx in range(2 * md + 1)
        ],
        dim=1,
    )


class Correlation(nn.Module):
    """``out[n, d, y, x] = mean_c first[n, c, y, x] * second[n, c, y + dy, x + dx]``.

    ``d = (dy + md) * (2 md + 1) + (dx + md)`` for dy, dx in ``-md..md``: rows of displacements,
    top to bottom. ``second`` is 0 outside of the map.

    Args:
        max_displacement: md, in pixels of the feature map.
    """

    def __init__(self, max_displacement: int) -> None:
        super().__init__()
        if max_displacement < 0:
            raise ValueError(f"max_displacement must not be negative, found {max_displacement}")
        self.max_displacement = max_displacement

    @property
    def out_channels(self) -> int:
        return (2 * self.max_displacement + 1) ** 2

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return shifted_products(first, second, self.max_displacement)

    def extra_repr(self) -> str:
        return f"max_displacement={self.max_displacement}"
