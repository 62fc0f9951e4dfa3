"""Resizing of integers by integer factors: ``fixed_point.md``, "resize"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from horizon.hbir.operators.resize import Places, places, resized_side

NEAREST, NEAREST_EXACT, BILINEAR = MODES = ("nearest", "nearest-exact", "bilinear")

Pair = tuple[int, int]


@dataclass(frozen=True)
class Resizing:
    """How a map is resized.

    Attributes:
        mode: one of ``MODES``.
        up, down: factors (rows, columns); in each direction, one of the two is 1.
        align_corners: bilinear only: the centres of the corner pixels stay in place.
    """

    mode: str
    up: Pair
    down: Pair
    align_corners: bool = False

    def attributes(self) -> dict[str, Any]:
        """The attributes of the program's operator, which computes the sampling positions."""
        return {
            "up": self.up,
            "down": self.down,
            "bilinear": int(self.mode == BILINEAR),
            "align_corners": int(self.align_corners),
            "exact": int(self.mode == NEAREST_EXACT),
        }

    def size(self, height: int, width: int) -> Pair:
        """(H, W) of the output."""
        values = self.attributes()
        return resized_side(values, height, 0), resized_side(values, width, 1)

    def places(self, height: int, width: int) -> tuple[Places, Places]:
        """Where the rows and the columns of the output lie in an input of this size."""
        values = self.attributes()
        return places(values, height, 0), places(values, width, 1)


def resize_steps(x: Tensor, resizing: Resizing) -> Tensor:
    """Sums of taps times weights, divided by ``2**(2 F)`` and not rounded yet.

    Args:
        x: integers (N, C, H, W) in float32, where they have 8 bits, or float64: sums are exact.
    """
    bits = 0
    size = resizing.size(*x.shape[-2:])
    for axis, found in enumerate(resizing.places(*x.shape[-2:])):
        first, second, weight = (
            torch.from_numpy(part).to(x.device) for part in found.taps(np.arange(size[axis]))
        )
        bits = found.fraction_bits
        taps = x.index_select(2 + axis, first)
        if bits:
            share = weight.to(x.dtype)
            share = share.view(-1, 1) if axis == 0 else share
            taps = taps * (2**bits - share) + x.index_select(2 + axis, second) * share
        x = taps
    return x * 2.0 ** (-2 * bits) if bits else x
