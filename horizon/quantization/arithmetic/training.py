"""The arithmetic of training: ``fixed_point.md`` on integer-valued floats, differentiable.

Rounding and clamping have the straight-through gradient: rounding passes the gradient as it is,
clamping passes it where the value was inside.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from horizon.hbir.fixed_point import MULTIPLIER_BITS


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x + 0.5).floor_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def round_ste(x: Tensor) -> Tensor:
    """``floor(x + 0.5)`` with the gradient of the identity."""
    result: Tensor = _Round.apply(x)
    return result


class _RoundRatio(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ratio: Tensor, shift_of: Tensor) -> Tensor:
        _, exponent = torch.frexp(shift_of.double())
        steps = torch.ldexp(
            torch.ones_like(shift_of, dtype=torch.float64), MULTIPLIER_BITS - exponent
        )
        return ((ratio.double() * steps + 0.5).floor_() / steps).float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def round_ratio(ratio: Tensor, largest: Tensor | None = None) -> Tensor:
    """``M * 2**-s`` for a ratio of scales, float32 (24 bits fit); gradient of the identity.

    ``largest``: the larger ratio of a sum, whose shift this one shares.
    """
    result: Tensor = _RoundRatio.apply(ratio, ratio if largest is None else largest)
    return result


class _Requantize(torch.autograd.Function):
    """``clamp(floor(acc * ratio + other * other_ratio + 0.5), low, high)``."""

    @staticmethod
    def forward(
        ctx: Any,
        acc: Tensor,
        ratio: Tensor,
        other: Tensor | None,
        other_ratio: Tensor | None,
        low: int,
        high: int,
        dtype: torch.dtype,
    ) -> Tensor:
        half = ratio.new_full((), 0.5)
        steps = torch.addcmul(half, acc if acc.dtype == torch.float32 else acc.float(), ratio)
        if other is not None:
            steps.addcmul_(other.float(), other_ratio)  # type: ignore[arg-type]
        steps.floor_()
        wants_ratio = ctx.needs_input_grad[1] or ctx.needs_input_grad[3]
        ctx.limits = (low - 0.5, high + 0.5)
        ctx.types = (acc.dtype, None if other is None else other.dtype)
        ctx.save_for_backward(
            steps,
            ratio,
            other_ratio,
            acc if wants_ratio else None,
            other if wants_ratio else None,
        )
        return steps.clamp(low, high).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        steps, ratio, other_ratio, acc, other = ctx.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(gradient.float(), steps, *ctx.limits)
        to_ratio = to_other = to_other_ratio = None
        if ctx.needs_input_grad[1]:
            to_ratio = (inside * acc).sum_to_size(ratio.shape)
        if ctx.needs_input_grad[3]:
            to_other_ratio = (inside * other).sum_to_size(other_ratio.shape)
        if ctx.needs_input_grad[2]:
            to_other = (inside * other_ratio).to(ctx.types[1])
        to_acc = inside.mul_(ratio).to(ctx.types[0]) if ctx.needs_input_grad[0] else None
        return to_acc, to_ratio, to_other, to_other_ratio, None, None, None


def requantize_ste(
    acc: Tensor,
    ratio: Tensor,
    low: int,
    high: int,
    other: Tensor | None = None,
    other_ratio: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Requantise integer-valued ``acc`` (N, C, H, W) by ``ratio``, () or (C, 1, 1).

    ``other`` and its ratio are added before the one rounding.
    """
    result: Tensor = _Requantize.apply(acc, ratio, other, other_ratio, low, high, dtype)
    return result


class _RequantizeSlopes(torch.autograd.Function):
    """:class:`_Requantize` with other ratios where the sum is negative."""

    @staticmethod
    def forward(
        ctx: Any,
        acc: Tensor,
        ratio: Tensor,
        negative: Tensor,
        other: Tensor | None,
        other_ratio: Tensor | None,
        other_negative: Tensor | None,
        low: int,
        high: int,
        dtype: torch.dtype,
    ) -> Tensor:
        wide = acc.float()
        above, below = wide * ratio, wide * negative
        if other is not None:
            above = torch.addcmul(above, other.float(), other_ratio)  # type: ignore[arg-type]
            below = torch.addcmul(below, other.float(), other_negative)  # type: ignore[arg-type]
        is_below = above < 0
        steps = torch.where(is_below, below, above).add_(0.5).floor_()
        ctx.limits = (low - 0.5, high + 0.5)
        ctx.types = (acc.dtype, None if other is None else other.dtype)
        ctx.save_for_backward(
            steps, is_below, acc, ratio, negative, other, other_ratio, other_negative
        )
        return steps.clamp(low, high).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        steps, is_below, acc, ratio, negative, other, other_ratio, other_negative = (
            ctx.saved_tensors
        )
        inside = torch.ops.aten.hardtanh_backward(gradient.float(), steps, *ctx.limits)
        to: list[Tensor | None] = [None] * 6
        parts = (inside * ~is_below, inside * is_below)
        pairs = ((acc, ratio, negative), (other, other_ratio, other_negative))
        for first, (values, above, below) in zip((0, 3), pairs, strict=True):
            if values is None:
                continue
            if ctx.needs_input_grad[first]:
                kind = ctx.types[first // 3]
                to[first] = (parts[0] * above + parts[1] * below).to(kind)
            for place, part, own in ((1, parts[0], above), (2, parts[1], below)):
                if ctx.needs_input_grad[first + place]:
                    to[first + place] = (part * values).sum_to_size(own.shape)
        return *to, None, None, None


def requantize_slopes_ste(
    acc: Tensor,
    ratio: Tensor,
    negative: Tensor,
    low: int,
    high: int,
    other: Tensor | None = None,
    other_ratio: Tensor | None = None,
    other_negative: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """:func:`requantize_ste` with ``negative`` and ``other_negative`` for sums below zero."""
    result: Tensor = _RequantizeSlopes.apply(
        acc, ratio, negative, other, other_ratio, other_negative, low, high, dtype
    )
    return result


class _Replace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, steps: Tensor, integers: Tensor, low: int, high: int) -> Tensor:
        ctx.limits = (low - 0.5, high + 0.5)
        ctx.save_for_backward(steps)
        return integers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (steps,) = ctx.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(gradient.to(steps.dtype), steps, *ctx.limits)
        return inside, None, None, None


def replaced_ste(steps: Tensor, integers: Tensor, low: int, high: int) -> Tensor:
    """``integers``, with the gradient of ``steps`` where these are within ``low..high``."""
    result: Tensor = _Replace.apply(steps, integers, low, high)
    return result


def activation_dtype(bits: int, device: torch.device) -> torch.dtype:
    """The type of a layer's integers in training: bfloat16, exact for int8, under autocast."""
    half = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
    return torch.bfloat16 if bits == 8 and half == torch.bfloat16 else torch.float32
