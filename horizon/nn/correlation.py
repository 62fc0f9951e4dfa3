"""The cost volume of two feature maps, forward and backward as batched matrix products.

The products of neighbouring pixels share their operands: 8 pixels in a row times the 16 that lie
within 4 of them are one 8x16 matrix product, and the 9 wanted products per pixel are its diagonal
band. Both maps are laid out as one sequence of pixels, channels innermost, with a gap of md zeros
after every row and md rows of zeros after every image. In this sequence a displacement (dy, dx) is
a distance of dy * pitch + dx, the zeros stand for everything outside of the map, and the operands
of all products of one dy are strided views: nothing is copied. The backward pass multiplies the
banded matrix of gradients with the same windows. On a GPU the same calls are cuBLAS products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from horizon.nn.native_correlation import native_correlation, suits

BLOCKS = {torch.bfloat16: 24, torch.float16: 24}
"""Pixels per product where it is not 8. A block of n uses (2 md + 1) / (n + 2 md) of its
products: larger blocks waste more, smaller ones leave the matrix product too little to do."""


class Correlation(nn.Module):
    """``out[n, d, y, x] = mean_c first[n, c, y, x] * second[n, c, y + dy, x + dx]``.

    ``d = (dy + md) * (2 md + 1) + (dx + md)`` for dy, dx in ``-md..md``: rows of displacements,
    top to bottom. ``second`` is 0 outside of the map. Under autocast both maps are taken, and the
    result is given, in the autocast type; sums are kept in float32.

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
        """(N, C, H, W) twice to (N, (2 md + 1)**2, H, W)."""
        if torch.is_autocast_enabled(first.device.type):
            kind = torch.get_autocast_dtype(first.device.type)
            first, second = first.to(kind), second.to(kind)
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            # A traced program should hold plain arithmetic; the results agree up to rounding.
            return shifted_products(first, second, self.max_displacement)
        return banded_products(first, second, self.max_displacement, 1 / first.shape[1])

    def extra_repr(self) -> str:
        return f"max_displacement={self.max_displacement}"


def banded_products(first: Tensor, second: Tensor, max_displacement: int, factor: float) -> Tensor:
    """``factor`` times the sum over channels instead of the mean; see :class:`Correlation`."""
    if suits(first, second):
        return native_correlation(first, second, max_displacement, factor)
    return matrix_products(first, second, max_displacement, factor)


def matrix_products(first: Tensor, second: Tensor, max_displacement: int, factor: float) -> Tensor:
    """The correlation by batched matrix products, on any device and in any type."""
    result: Tensor = _BandedProducts.apply(first, second, max_displacement, factor)
    return result


def shifted_products(first: Tensor, second: Tensor, max_displacement: int) -> Tensor:
    """The definition, one shift at a time; see :class:`Correlation` for shapes."""
    md = max_displacement
    height, width = first.shape[-2:]
    padded = functional.pad(second, (md, md, md, md))
    return torch.cat(
        [
            (first * padded[..., dy : dy + height, dx : dx + width]).mean(dim=1, keepdim=True)
            for dy in range(2 * md + 1)
            for dx in range(2 * md + 1)
        ],
        dim=1,
    )


class _PixelSequence:
    """The geometry of the sequence that the module's docstring describes."""

    def __init__(self, x: Tensor, md: int) -> None:
        self.images, _, self.height, self.width = x.shape
        self.md = md
        self.block = BLOCKS.get(x.dtype, 8)
        self.pitch = self.width + md
        self.rows = self.height + md
        self.pixels = self.images * self.rows * self.pitch
        self.blocks = -(-self.pixels // self.block)
        self.window = self.block + 2 * md
        # Windows of the first and last block reach this far before and behind the sequence.
        self.margin = md * self.pitch + md

    def lay_out(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to a sequence (margin + blocks * block + margin, C)."""
        channels = x.shape[1]
        sequence = x.new_zeros(2 * self.margin + self.blocks * self.block, channels)
        pixels = sequence[self.margin : self.margin + self.pixels]
        pixels = pixels.view(self.images, self.rows, self.pitch, channels)
        pixels[:, : self.height, : self.width] = x.permute(0, 2, 3, 1)
        return sequence

    def collect(self, blocks: Tensor) -> Tensor:
        """(blocks, block, C) back to (N, C, H, W), a view with channels innermost."""
        pixels = blocks.view(self.blocks * self.block, -1)[: self.pixels]
        pixels = pixels.view(self.images, self.rows, self.pitch, -1)
        return pixels[:, : self.height, : self.width].permute(0, 3, 1, 2)

    def windows(self, sequence: Tensor, dy: int) -> Tensor:
        """What the blocks meet at the row distance ``dy``: a view (blocks, window, C)."""
        channels = sequence.shape[1]
        start = self.margin + dy * self.pitch - self.md
        return sequence.as_strided(
            (self.blocks, self.window, channels),
            (self.block * channels, channels, 1),
            start * channels,
        )

    def band(self, matrices: Tensor) -> Tensor:
        """The diagonal band of (blocks, block, window): a view (blocks, block, 2 md + 1)."""
        return matrices.as_strided(
            (self.blocks, self.block, 2 * self.md + 1),
            (self.block * self.window, self.window + 1, 1),
        )

    def displaced(self, gradient: Tensor, dy: int, *, mirrored: bool) -> Tensor:
        """Band entries of the gradient sequence (.., (2 md + 1)**2) for the row distance ``dy``.

        As it is, entry j of pixel p belongs to the pair p of map 1 and p + (dy, j - md) of map 2.
        Mirrored, p is a pixel of map 2 and entry j belongs to the pair p + (dy, j - md) of map 1
        and p of map 2, whose displacement is (-dy, md - j).
        """
        md, channels = self.md, gradient.shape[1]
        if mirrored:
            start = (self.margin + dy * self.pitch - md) * channels
            start += (md - dy) * (2 * md + 1) + 2 * md
            step = channels - 1
        else:
            start = self.margin * channels + (dy + md) * (2 * md + 1)
            step = 1
        return gradient.as_strided(
            (self.blocks, self.block, 2 * md + 1), (self.block * channels, channels, step), start
        )


class _BandedProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, md: int, factor: float) -> Tensor:
        sequence = _PixelSequence(first, md)
        # The factor of the mean goes in first: a sum in float16 could overflow.
        scaled = sequence.lay_out(first)
        if factor != 1:
            scaled.mul_(factor)
        other = sequence.lay_out(second)
        ctx.save_for_backward(scaled, other)
        ctx.sequence, ctx.factor = sequence, factor
        shape = (sequence.blocks, sequence.block, sequence.window)
        products = first.new_empty(shape)
        result = first.new_empty(sequence.blocks, sequence.block, (2 * md + 1) ** 2)
        with torch.autocast(first.device.type, enabled=False):
            blocks = sequence.windows(scaled, 0)[:, md : md + sequence.block]
            for row, part in enumerate(result.split(2 * md + 1, dim=2)):
                windows = sequence.windows(other, row - md)
                torch.bmm(blocks, windows.transpose(1, 2), out=products)
                part.copy_(sequence.band(products))
        return sequence.collect(result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scaled, other = ctx.saved_tensors
        sequence: _PixelSequence = ctx.sequence
        gradient_sequence = sequence.lay_out(gradient)

        def product(partner: Tensor, *, mirrored: bool) -> Tensor:
            """sum over displacements of gradient * the partner at the displaced pixel."""
            banded = gradient.new_zeros(sequence.blocks, sequence.block, sequence.window)
            total = gradient.new_zeros(sequence.blocks, sequence.block, partner.shape[1])
            for dy in range(-sequence.md, sequence.md + 1):
                part = sequence.displaced(gradient_sequence, dy, mirrored=mirrored)
                sequence.band(banded).copy_(part)
                torch.baddbmm(total, banded, sequence.windows(partner, dy), out=total)
            return sequence.collect(total)

        with torch.autocast(gradient.device.type, enabled=False):
            to_first = to_second = None
            if ctx.needs_input_grad[0]:
                to_first = product(other, mirrored=False).mul_(ctx.factor)
            if ctx.needs_input_grad[1]:
                to_second = product(scaled, mirrored=True)
        return to_first, to_second, None, None
