"""Convolutions of large dilation as convolutions of a small one.

The taps of a convolution of dilation 16 never leave the grid of every fourth pixel. Splitting the
map into its 4 x 4 such grids and treating them as 16 images of a batch gives the same products with
dilation 4 and taps that lie close in memory. In float32 on a CPU that takes three quarters of the
time, the two copies included; elsewhere it does not pay and the plain layer runs.

oneDNN's bfloat16 weight gradient reads uninitialised memory for dilated convolutions of
channels-last input whose channels are no multiple of 16 (seen in torch 2.14: NaN, or finite and
wrong). The other memory format is right, so such input and weights are copied to it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

PHASES = 4
SMALLEST = 32
"""Maps with a shorter side are cheap, and their grids would be mostly padding."""


class DilatedConv2d(nn.Conv2d):
    """``torch.nn.Conv2d`` of odd kernel, stride 1 and "same" padding; any dilation.

    Weights, results and gradients are those of the plain layer up to rounding.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, dilation: int = 1
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, found {kernel_size}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return super().forward(x)
        return dilated_conv2d(x, self.weight, self.bias, self.dilation[0])


def dilated_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Convolution of odd square kernel, stride 1 and "same" padding, the quickest way.

    Args:
        x: (N, C, H, W).
        weight: (O, C, k, k).
        bias: (O,) or None.
        dilation: distance of the taps.
    """
    padding = weight.shape[-1] // 2
    if x.device.type != "cpu":
        return functional.conv2d(x, weight, bias, 1, dilation * padding, dilation)
    narrow = x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    if narrow and x.shape[1] % 16:
        x, weight = x.contiguous(), weight.contiguous()
    # Dilation 4 and below is as fast as it is.
    splits = dilation % PHASES == 0 and dilation >= 2 * PHASES
    if not splits or narrow or min(x.shape[-2:]) < SMALLEST:
        return functional.conv2d(x, weight, bias, 1, dilation * padding, dilation)
    height, width = x.shape[-2:]
    reach = dilation // PHASES
    grids = functional.conv2d(_to_grids(x), weight, bias, 1, reach * padding, reach)
    return _from_grids(grids)[..., :height, :width]


def _to_grids(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N * PHASES**2, C, ceil(H / PHASES), ceil(W / PHASES)), zeros beyond."""
    height, width = x.shape[-2:]
    if height % PHASES or width % PHASES:
        x = functional.pad(x, (0, -width % PHASES, 0, -height % PHASES))
    images, channels, height, width = x.shape
    x = x.reshape(images, channels, height // PHASES, PHASES, width // PHASES, PHASES)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(-1, channels, height // PHASES, width // PHASES)


def _from_grids(grids: Tensor) -> Tensor:
    """The inverse of :func:`_to_grids`, padding included."""
    _, channels, height, width = grids.shape
    x = grids.view(-1, PHASES, PHASES, channels, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(-1, channels, height * PHASES, width * PHASES)
