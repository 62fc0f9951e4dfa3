"""Sample a feature map at shifted places: the warp of a flow network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.nn.native_warp import native_warp, suits


def warp(feature: Tensor, offset: Tensor) -> Tensor:
    """``out[n, c, y, x] = feature[n, c, y + offset[n, 1, y, x], x + offset[n, 0, y, x]]``.

    Bilinear between pixels; a tap outside of the map counts as 0, so that values fade to 0 over
    the one pixel beyond each border.

    Args:
        feature: (N, C, H, W).
        offset: (N, 2, H, W), (x, y) displacement in pixels of this map.

    Returns:
        (N, C, H, W). Half-precision features are sampled in float32 and keep their type; offsets
        are never narrowed, because a bfloat16 place is off by a whole pixel beyond 256.
    """
    tracing = torch.jit.is_tracing() or torch.compiler.is_compiling()
    if not tracing and suits(feature, offset):
        return native_warp(feature, offset)
    return sampled_on_a_grid(feature, offset)


def sampled_on_a_grid(feature: Tensor, offset: Tensor) -> Tensor:
    """The warp by ``grid_sample``, on any device and in any type."""
    height, width = feature.shape[-2:]
    place = torch.float64 if feature.dtype == torch.float64 else torch.float32
    offset = offset.to(place)
    column = torch.arange(width, device=offset.device, dtype=place)
    row = torch.arange(height, device=offset.device, dtype=place)
    # Beyond one pixel outside all taps are 0: clamping there changes nothing and keeps the
    # conversion to integers inside the kernel defined for any offset.
    x = (column + offset[:, 0]).clamp(-2, width + 1)
    y = (row[:, None] + offset[:, 1]).clamp(-2, height + 1)
    # grid_sample wants the image to span -1..1. With align_corners=False the outer edges of the
    # border pixels lie there, pixel i at (2 i + 1) / size - 1, which is defined for size 1 too.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    sampled = functional.grid_sample(
        feature.to(place), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return sampled.to(feature.dtype)


class GridSample(nn.Module):
    """:func:`warp` as a layer; see there for shapes and units."""

    def forward(self, feature: Tensor, offset: Tensor) -> Tensor:
        return warp(feature, offset)
