"""The warp of a training step on a CPU: compiled, in float32, with exact gradients.

Any other device or type takes ``grid_sample``; see :func:`horizon.nn.grid_sample.warp`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from horizon.extension import native
from horizon.nn.native_correlation import is_plain


def suits(feature: Tensor, offset: Tensor) -> bool:
    """Whether :func:`native_warp` takes these."""
    return is_plain(feature) and is_plain(offset) and offset.dtype == torch.float32


def native_warp(feature: Tensor, offset: Tensor) -> Tensor:
    """See :func:`horizon.nn.grid_sample.warp` for shapes and units."""
    result: Tensor = _Warp.apply(feature, offset)
    return result


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feature: Tensor, offset: Tensor) -> Tensor:
        inner = feature.detach().permute(0, 2, 3, 1).to(torch.float32).contiguous()
        places = offset.detach().contiguous()
        out = inner.new_empty(feature.shape)
        native.warp_forward(inner.numpy(), places.numpy(), out.numpy(), torch.get_num_threads())
        ctx.save_for_backward(inner, places)
        ctx.kind = feature.dtype
        return out.to(feature.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        inner, places = ctx.saved_tensors
        slope = gradient.detach().to(torch.float32).contiguous()
        to_feature, to_offset = torch.empty_like(inner), torch.empty_like(places)
        native.warp_backward(
            inner.numpy(),
            places.numpy(),
            slope.numpy(),
            to_feature.numpy(),
            to_offset.numpy(),
            torch.get_num_threads(),
        )
        return to_feature.to(ctx.kind).permute(0, 3, 1, 2), to_offset
