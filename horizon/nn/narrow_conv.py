"""Convolutions from many channels to very few, which is where flow leaves a network.

A direct convolution with 2 output channels fills an eighth of a vector register: its 2 % of the
arithmetic took a tenth of the time of the layers around it. Here one 1x1 convolution gives the
products of every tap at once (2 * 9 or 2 * 16 channels), and ``fold`` adds each to the pixel it
belongs to. Weights, results and gradients are those of the plain layer up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDE = 64
"""Input channels from which the detour pays: it halves the time at 64 and doubles it at 8."""


def _scattered(
    x: Tensor, taps: Tensor, bias: Tensor | None, size: tuple[int, int], stride: int, padding: int
) -> Tensor:
    """Sum of ``taps`` (out, kh, kw, in) times the pixels of ``x``, each placed where it belongs."""
    products = functional.conv2d(x, taps.reshape(-1, taps.shape[-1], 1, 1)).flatten(2)
    # The products of a half-precision run are few: their sum is worth float32.
    wide = torch.promote_types(products.dtype, torch.float32)
    kernel = (taps.shape[1], taps.shape[2])
    result = functional.fold(
        products.to(wide), size, kernel_size=kernel, stride=stride, padding=padding
    )
    return result if bias is None else result + bias.to(wide)[:, None, None]


def narrow_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution (N, C, H, W) to (N, O, H, W): odd square kernel, stride 1, "same" padding."""
    # A pixel reaches its neighbours through the mirrored kernel.
    taps = weight.flip(2, 3).permute(0, 2, 3, 1)
    return _scattered(x, taps, bias, (x.shape[-2], x.shape[-1]), 1, weight.shape[-1] // 2)


def narrow_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transposed convolution (N, C, H, W) to (N, O, 2 H, 2 W): 4x4 kernel, stride 2, padding 1."""
    taps = weight.permute(1, 2, 3, 0)
    return _scattered(x, taps, bias, (2 * x.shape[-2], 2 * x.shape[-1]), 2, 1)


class NarrowConv2d(nn.Conv2d):
    """``torch.nn.Conv2d`` of stride 1 that keeps the size, for few output channels.

    Under autocast the result is float32.

    Args:
        in_channels, out_channels: as in ``torch.nn.Conv2d``.
        kernel_size: odd; the padding is half of it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, found {kernel_size}")
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        if self.in_channels < WIDE or torch.jit.is_tracing() or torch.compiler.is_compiling():
            return super().forward(x)
        return narrow_conv2d(x, self.weight, self.bias)


class NarrowConvTranspose2d(nn.ConvTranspose2d):
    """``torch.nn.ConvTranspose2d(.., 4, stride=2, padding=1)``: twice the size, few channels.

    Under autocast the result is float32.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, 2 H, 2 W)."""
        if (
            output_size is not None
            or self.in_channels < WIDE
            or torch.jit.is_tracing()
            or torch.compiler.is_compiling()
        ):
            return super().forward(x, output_size)
        return narrow_conv_transpose2d(x, self.weight, self.bias)
