"""Resizing of integers by integer factors: ``fixed_point.md``, "resize"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NEAREST, NEAREST_EXACT, BILINEAR = MODES = ("nearest", "nearest-exact", "bilinear")
FRACTION_BITS = 8

Pair = tuple[int, int]


@dataclass(frozen=True)
class Resizing:
    """What is resized how.

    Attributes:
        mode: one of ``MODES``.
        up, down: factors (rows, columns); one of both is 1.
        align_corners: of a bilinear one: the centres of the corner pixels stay where they are.
    """

    mode: str
    up: Pair
    down: Pair
    align_corners: bool = False

    @property
    def fraction_bits(self) -> int:
        return FRACTION_BITS if self.mode == BILINEAR else 0

    def size(self, height: int, width: int) -> Pair:
        """(H, W) of the output."""
        rows, columns = (
            side * u // d for side, u, d in zip((height, width), self.up, self.down, strict=True)
        )
        return rows, columns

    def fields(self, height: int, width: int) -> dict[str, Any]:
        """Step, offset, divisor (rows, columns) and last for an input of this size.

        Output row i reads ``clamp(floor((step * i + offset) / divisor), 0, last << F)``.
        """
        size = self.size(height, width)
        axes = [
            self._axis(axis, side, out)
            for axis, (side, out) in enumerate(zip((height, width), size, strict=True))
        ]
        step, offset, divisor = (tuple(values) for values in zip(*axes, strict=True))
        return {
            "step": step,
            "offset": offset,
            "divisor": divisor,
            "last": (height - 1, width - 1),
            "fraction_bits": self.fraction_bits,
        }

    def _axis(self, axis: int, side: int, out: int) -> tuple[int, int, int]:
        u, d, bits = self.up[axis], self.down[axis], self.fraction_bits
        if self.mode == NEAREST:
            return d, 0, u
        if self.mode == NEAREST_EXACT:
            return 2 * d, d, 2 * u
        if not self.align_corners:
            return 2 ** (bits + 1) * d, 2**bits * (d - u) + u, 2 * u
        if out == 1:
            return 0, 0, 1
        return 2 ** (bits + 1) * (side - 1), out - 1, 2 * (out - 1)


def resize_steps(x: Tensor, resizing: Resizing) -> Tensor:
    """Sums of taps times weights, divided by ``2**(2 F)`` and not rounded yet.

    Args:
        x: integers (N, C, H, W) in float32, where they have 8 bits, or float64: sums are exact.
    """
    height, width = x.shape[-2:]
    fields = resizing.fields(height, width)
    size, bits = resizing.size(height, width), resizing.fraction_bits
    for axis in (0, 1):
        index = torch.arange(size[axis], device=x.device)
        place = torch.div(
            fields["step"][axis] * index + fields["offset"][axis],
            fields["divisor"][axis],
            rounding_mode="floor",
        ).clamp(0, fields["last"][axis] << bits)
        first = place >> bits
        taps = x.index_select(2 + axis, first)
        if bits:
            second = (first + 1).clamp(max=fields["last"][axis])
            share = (place & (2**bits - 1)).to(x.dtype)
            share = share.view(-1, 1) if axis == 0 else share
            taps = taps * (2**bits - share) + x.index_select(2 + axis, second) * share
        x = taps
    return x * 2.0 ** (-2 * bits) if bits else x
