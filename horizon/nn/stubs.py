"""Where a network's numbers enter and leave the quantised part."""

from __future__ import annotations

from torch import Tensor, nn


class QuantStub(nn.Module):
    """Marks an input of the quantised part; the identity in float.

    Args:
        scale: size of one integer step where it is known beforehand (an image that is
            ``(uint8 - 128) / 128`` has 1/128 and loses nothing); None: to be observed.
    """

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        if scale is not None and not scale > 0:
            raise ValueError(f"scale must be positive or None, found {scale!r}")
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class DeQuantStub(nn.Module):
    """Marks an output of the quantised part; the identity in float."""

    def forward(self, x: Tensor) -> Tensor:
        return x
