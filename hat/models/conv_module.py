"""Convolution, batch normalisation and activation as one layer, and how they start."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from horizon.nn import DilatedConv2d
from horizon.quantization import fuse_modules


class ConvModule(nn.Module):
    """Convolution with bias, then batch normalisation, then activation.

    The parts are called ``conv``, ``bn`` and ``act``; ``bn`` is absent without ``use_bn``. The
    output has the input's size divided by the stride, rounded up.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups: as in ``torch.nn.Conv2d``.
        act_type: the activation. It is copied: a config hands the same object to every layer,
            and layers that shared it could not be fused one by one.
        use_bn: whether there is batch normalisation.
        bn_kwargs: more arguments of ``torch.nn.BatchNorm2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        *,
        act_type: nn.Module,
        use_bn: bool = True,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(act_type, nn.Module):
            raise ValueError(f"act_type must be a module such as nn.ReLU(), found {act_type!r}")
        if dilation > 1 and (stride > 1 or groups > 1):
            raise ValueError(
                f"a dilated layer has neither stride nor groups, found dilation={dilation}, "
                f"stride={stride}, groups={groups}"
            )
        self.conv: nn.Conv2d
        if dilation > 1:
            self.conv = DilatedConv2d(in_channels, out_channels, kernel_size, dilation)
        else:
            self.conv = nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding=kernel_size // 2,
                groups=groups,
            )
        self.bn = nn.BatchNorm2d(out_channels, **(bn_kwargs or {})) if use_bn else None
        self.act = copy.deepcopy(act_type)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return self.act(x)

    def fuse_model(self, fold_bn: bool = True) -> None:
        """Make one layer of the three; see :func:`horizon.quantization.fuse_modules`."""
        names = ["conv", "act"] if self.bn is None else ["conv", "bn", "act"]
        fuse_modules(self, names, fold_bn)


def initialise(module: nn.Module) -> None:
    """Kaiming normal weights (fan in) and zero biases for every convolution below ``module``."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
