"""The functions of torch that move a quantised tensor's elements, or repeat them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from horizon.errors import InputError
from horizon.quantization.movement.rearranged import Rearranged, rearranged
from horizon.quantization.qtensor import QTensor

Moved = QTensor | Rearranged


def _unbind(input: Moved, dim: int = 0) -> tuple[Moved, ...]:
    return tuple(rearranged(torch.select, input, dim, i) for i in range(input.shape[dim]))


def _pad(input: Moved, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Moved:
    if mode == "constant" and value:
        raise InputError(
            f"torch.pad(value={value}) of a quantised tensor: expected 0, which every scale has; "
            "pad with 0, or by mode 'replicate', 'reflect' or 'circular'"
        )
    return rearranged(functional.pad, input, tuple(pad), mode)


def _like(function: Callable) -> Callable[..., Moved]:
    """``function(x, shape)`` with the shape of another tensor."""
    return lambda x, other: rearranged(function, x, tuple(other.shape))


def _by(function: Callable) -> Callable[..., Moved]:
    return lambda x, *args, **kwargs: rearranged(function, x, *args, **kwargs)


_FUNCTIONS: tuple[Callable, ...] = (
    *(torch.reshape, torch.Tensor.reshape, torch.flatten, torch.Tensor.flatten),
    *(torch.unflatten, torch.Tensor.unflatten, torch.squeeze, torch.Tensor.squeeze),
    *(torch.unsqueeze, torch.Tensor.unsqueeze, torch.permute, torch.Tensor.permute),
    *(torch.transpose, torch.Tensor.transpose, torch.swapaxes, torch.Tensor.swapaxes),
    *(torch.swapdims, torch.Tensor.swapdims, torch.movedim, torch.Tensor.movedim),
    *(torch.moveaxis, torch.Tensor.moveaxis, torch.flip, torch.Tensor.flip),
    *(torch.fliplr, torch.flipud, torch.roll, torch.Tensor.roll),
    *(torch.select, torch.Tensor.select, torch.index_select, torch.Tensor.index_select),
    *(torch.tile, torch.Tensor.tile, torch.Tensor.repeat, torch.Tensor.expand),
    *(torch.repeat_interleave, torch.Tensor.repeat_interleave),
    *(torch.channel_shuffle, functional.channel_shuffle),
    *(torch.pixel_shuffle, functional.pixel_shuffle),
    *(torch.pixel_unshuffle, functional.pixel_unshuffle),
)
REARRANGING: dict[Callable, Callable[..., Any]] = {
    **{function: _by(function) for function in _FUNCTIONS},
    torch.Tensor.view: _by(torch.Tensor.reshape),  # integers may lie in another order
    torch.Tensor.expand_as: _like(torch.Tensor.expand),
    torch.Tensor.view_as: _like(torch.Tensor.reshape),
    torch.Tensor.reshape_as: _like(torch.Tensor.reshape),
    functional.pad: _pad,
    torch.unbind: _unbind,
    torch.Tensor.unbind: _unbind,
}
