"""Networks of ReLUs that start as linear ones, so that gradients arrive without normalisation.

Every value z is carried by two channels, relu(z) and relu(-z), whose difference it is; weights with
the signs [[A, -A], [-A, A]] map such pairs to such pairs (Balduzzi et al., "The shattered gradients
problem", ICML 2017). No channel starts dead, and none can die on both sides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def values_of(layer: nn.Conv2d, paired_input: bool) -> tuple[int, int]:
    """How many values go in and come out of ``layer``."""
    return layer.in_channels // (2 if paired_input else 1), layer.out_channels // 2


def start_linear(layer: nn.Conv2d, paired_input: bool, kept: int = 0, beside: float = 0.3) -> None:
    """Set ``layer`` to map values to values, orthogonally at the centre of its kernel.

    Args:
        layer: convolution with an even number of output channels and an odd kernel.
        paired_input: its input are pairs (first all relu(z), then all relu(-z)), not values.
        kept: the first so many values are handed on as they are, and mix with no other.
        beside: standard deviation of the response that comes from the taps beside the centre.
    """
    inputs, outputs = values_of(layer, paired_input)
    taps = layer.kernel_size[0] * layer.kernel_size[1]
    core = torch.randn(outputs, inputs, *layer.kernel_size) * beside / (inputs * taps) ** 0.5
    centre = layer.kernel_size[0] // 2
    mixing = torch.empty(outputs - kept, inputs - kept)
    core[kept:, kept:, centre, centre] += nn.init.orthogonal_(mixing)
    if kept:
        core[:kept], core[:, :kept] = 0, 0
        for value in range(kept):
            core[value, value, centre, centre] = 1
    set_values(layer, core, paired_input)


def set_values(layer: nn.Conv2d, core: Tensor, paired_input: bool) -> None:
    """Weights that map values by ``core`` (values out, values in, kh, kw), and zero biases."""
    with torch.no_grad():
        row = torch.cat([core, -core], dim=1) if paired_input else core
        layer.weight.copy_(torch.cat([row, -row]))
        assert layer.bias is not None
        layer.bias.zero_()
