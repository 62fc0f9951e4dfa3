"""PWC-Net with Brevitas' layers, a side of ``qat_step.py``. Needs the package ``brevitas``.

Brevitas has no quantised cost volumes, warps and concatenations, so these stay in float. The
network's input, inputs of convolutions that do not come from a ReLU, and the flow stay in float
too. As in the fixed-point network, batch normalisation is folded first, weights have one scale per
channel, and activations learn their scales from the first batch on. The convolutions run on
``horizon``'s kernels, so the times differ only by the quantisation.
"""

from __future__ import annotations

from typing import Any

import brevitas.nn as brevitas
from brevitas.quant import Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
from torch import Tensor, nn

from hat.models.conv_module import ConvModule
from horizon.quantization.arithmetic.kernels import convolve
from horizon.quantization.fuse import fold_batch_norm
from horizon.quantization.layers.conv_geometry import geometry_of


class _OnOurKernels:
    """Brevitas calls this with the quantised weight, a float tensor in a wrapper."""

    def inner_forward_impl(self, x: Tensor, weight: Any, bias: Tensor | None) -> Tensor:
        return convolve(x, getattr(weight, "value", weight), bias, geometry_of(self, "conv"))


class QuantConv2d(_OnOurKernels, brevitas.QuantConv2d):
    pass


class QuantConvTranspose2d(_OnOurKernels, brevitas.QuantConvTranspose2d):
    pass


def brevitas_network(network: nn.Module) -> nn.Module:
    """``network`` with Brevitas' convolutions and ReLUs in place of its own; weights are kept."""
    for module in list(network.modules()):
        if isinstance(module, ConvModule) and module.bn is not None:
            fold_batch_norm(module.conv, module.bn)
            module.bn = None
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
                setattr(module, name, _convolution(child))
            elif isinstance(child, nn.ReLU):
                relu = brevitas.QuantReLU(act_quant=Uint8ActPerTensorFloat, collect_stats_steps=1)
                setattr(module, name, relu)
    return network


def _convolution(conv: Any) -> nn.Module:
    transposed = isinstance(conv, nn.ConvTranspose2d)
    kind = QuantConvTranspose2d if transposed else QuantConv2d
    quantised: Any = kind(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=conv.bias is not None,
        weight_quant=Int8WeightPerChannelFloat,
    )
    quantised.weight = conv.weight
    if conv.bias is not None:
        quantised.bias = conv.bias
    return quantised
