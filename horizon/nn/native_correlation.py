"""The cost volume of a training step on a CPU: compiled, in float32, with exact gradients.

Any other device or type takes the matrix products of :mod:`horizon.nn.correlation`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from horizon.extension import native

NARROW = (torch.float32, torch.bfloat16, torch.float16)
"""What is computed in float32; float64 keeps its digits elsewhere."""


def suits(first: Tensor, second: Tensor) -> bool:
    """Whether :func:`native_correlation` takes these maps."""
    return is_plain(first) and is_plain(second) and first.dtype == second.dtype


def is_plain(x: Tensor) -> bool:
    """Whether ``x`` has memory that compiled code can read, of a type that it may compute in."""
    return type(x) in (Tensor, torch.nn.Parameter) and x.device.type == "cpu" and x.dtype in NARROW


def native_correlation(first: Tensor, second: Tensor, reach: int, factor: float) -> Tensor:
    """See :func:`horizon.nn.correlation.banded_products`; sums are kept in float32."""
    result: Tensor = _Correlation.apply(first, second, reach, factor)
    return result


def _dense(x: Tensor) -> Tensor:
    return x.detach().to(torch.float32).contiguous()


def _format(x: Tensor) -> torch.memory_format:
    """The order that the layers around work in: results in another one would slow all of them."""
    inner = x.shape[1] > 1 and x.stride(1) == 1
    return torch.channels_last if inner else torch.contiguous_format


class _Correlation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, reach: int, factor: float) -> Tensor:
        one, two = _dense(first), _dense(second)
        images, _, height, width = first.shape
        volume = one.new_empty(images, (2 * reach + 1) ** 2, height, width)
        native.correlation_forward(
            one.numpy(), two.numpy(), reach, factor, volume.numpy(), torch.get_num_threads()
        )
        ctx.save_for_backward(one, two)
        ctx.reach, ctx.factor, ctx.kind, ctx.format = reach, factor, first.dtype, _format(first)
        return volume.to(first.dtype, memory_format=ctx.format)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        one, two = ctx.saved_tensors
        to_first, to_second = torch.empty_like(one), torch.empty_like(two)
        native.correlation_backward(
            one.numpy(),
            two.numpy(),
            _dense(gradient).numpy(),
            ctx.reach,
            ctx.factor,
            to_first.numpy(),
            to_second.numpy(),
            torch.get_num_threads(),
        )
        gradients = [x.to(ctx.kind, memory_format=ctx.format) for x in (to_first, to_second)]
        return *gradients, None, None
