"""Means and sums over rows and columns, which are average poolings, and over channels.

The mean of all channels is a convolution of 1x1 with equal weights. A sum is the mean without its
division.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.layers.twin import Bound, Twin


class Sum2d(nn.AdaptiveAvgPool2d):
    """Sums over rows, columns or both: ``size`` is 1 where a side is summed, None elsewhere."""

    divisor = 1

    def forward(self, x: Tensor) -> Tensor:
        axes = [axis for axis, n in zip((2, 3), self.output_size, strict=True) if n == 1]  # type: ignore
        return x.sum(axes, keepdim=True)


def equal_weights(channels: int, weight: float) -> nn.Conv2d:
    """The sum of all channels, times ``weight``, as a convolution that does not train."""
    conv = nn.Conv2d(channels, 1, 1).requires_grad_(False)
    nn.init.constant_(conv.weight, weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def bind_reduction(
    name: str, input: Any, given: Any, keepdim: bool, dtype: torch.dtype | None
) -> Bound:
    """A mean or a sum as a layer.

    Raises:
        InputError: other axes than rows, columns or both, or channels; fewer than four axes left.
    """
    dims = [given] if isinstance(given, int) else list(given or ())
    axes = {d + 4 if d < 0 else d for d in dims}
    if not axes or (axes - {2, 3} and axes != {1}):
        raise InputError(
            f"torch.{name} over {'everything' if given is None else f'dim {given}'} of a quantised "
            "tensor: expected rows (2) and columns (3), or channels (1), one call for each; for "
            "the batch use the CPU, behind a DeQuantStub"
        )
    if not keepdim:
        raise InputError(
            f"torch.{name}(dim={given}) of a quantised tensor leaves fewer than its four axes; use "
            "keepdim=True, with nn.Conv2d of 1x1 in the place of nn.Linear, and flatten on the "
            "CPU, behind a DeQuantStub"
        )
    if dtype is not None and not dtype.is_floating_point:
        raise InputError(f"torch.{name}(dtype={dtype}) of a quantised tensor; leave the type out")
    if axes == {1}:
        channels = int(input.shape[1])
        weight = 1 / channels if name == "mean" else 1.0
        config = ("channels", channels)
        return Bound(name, config, lambda: equal_weights(channels, weight), (input,))
    rows, columns = (1 if side in axes else None for side in (2, 3))
    kind = nn.AdaptiveAvgPool2d if name == "mean" else Sum2d
    return Bound(name, (rows, columns), lambda: kind((rows, columns)), (input,))


def _bind(name: str) -> Callable[..., Bound]:
    """A binder for ``torch.mean`` or ``torch.sum`` with torch's and numpy's argument names."""

    def bind(
        input: Any,
        dim: Any = None,
        keepdim: bool = False,
        *,
        axis: Any = None,
        keepdims: bool = False,
        dtype: torch.dtype | None = None,
    ) -> Bound:
        given = axis if dim is None else dim
        return bind_reduction(name, input, given, keepdim or keepdims, dtype)

    return bind


TWIN = Twin(
    calls={
        **dict.fromkeys((torch.mean, torch.Tensor.mean), _bind("mean")),
        **dict.fromkeys((torch.sum, torch.Tensor.sum), _bind("sum")),
    }
)
