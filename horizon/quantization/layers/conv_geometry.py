"""What a torch convolution is in fixed point: its geometry, and what it puts around its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.quantization.arithmetic.kernels import Geometry

Pair = tuple[int, int]


@dataclass(frozen=True)
class Border:
    """What a convolution whose ``padding_mode`` is not "zeros" puts around its input.

    Attributes:
        sides: (left, right, above, below).
        mode: "reflect", "replicate" or "circular".
    """

    sides: tuple[int, int, int, int]
    mode: str

    def __call__(self, x: Any) -> Any:
        """A tensor (N, C, H, W), quantised or not, with the border around it."""
        return functional.pad(x, self.sides, mode=self.mode)


def computes_more(conv: Any) -> bool:
    """Whether a subclass of a torch convolution has a ``forward()`` of its own."""
    return not type(conv).forward.__module__.startswith(("torch.nn.", "horizon.nn."))


def geometry_of(conv: Any, layer: str) -> Geometry:
    """A torch convolution's geometry; InputError where fixed point has no such thing.

    That of a convolution with a :class:`Border` has no padding: its input has it already.
    """
    if computes_more(conv):
        raise InputError(
            f"{layer}: cannot be quantised: {type(conv).__name__} has a forward() of its own, "
            "which the integers would not follow; put what it does to the weights into them and "
            "use a plain convolution"
        )
    transposed = isinstance(conv, nn.ConvTranspose2d)
    more = conv.output_padding if transposed else (0, 0)
    begin, end = ((0, 0), None) if border_of(conv) else _paddings(conv)
    return Geometry(transposed, conv.stride, begin, conv.dilation, conv.groups, end, more)


def border_of(conv: Any) -> Border | None:
    """What a torch convolution puts around its input, unless that is zeros or nothing."""
    begin, end = _paddings(conv)
    (above, left), (below, right) = begin, end or begin
    sides = left, right, above, below
    return Border(sides, conv.padding_mode) if conv.padding_mode != "zeros" and any(sides) else None


def _paddings(conv: Any) -> tuple[Pair, Pair | None]:
    """A torch convolution's padding above and at the left, and that below and at the right.

    None where these are the same. An even reach has one more at the end, as torch has it.
    """
    if conv.padding == "valid":
        return (0, 0), None
    if conv.padding != "same":
        return conv.padding, None
    whole = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    begin, end = (whole[0] // 2, whole[1] // 2), (-(-whole[0] // 2), -(-whole[1] // 2))
    return begin, None if begin == end else end


def as_in_program(weight: Tensor, geometry: Geometry) -> tuple[Tensor, Geometry]:
    """Weight and geometry of the same convolution in the form that programs have.

    Programs have transposed convolutions without dilation, whose output padding is less than the
    stride. Dilation becomes zeros between the taps, and so does output padding behind them.

    Args:
        weight: (I, O / groups, kh, kw) of a transposed convolution; others stay as they are.
    """
    g = geometry
    more = [
        rows if rows >= step else 0 for rows, step in zip(g.output_padding, g.stride, strict=True)
    ]
    if not g.transposed or (g.dilation == (1, 1) and not any(more)):
        return weight, geometry
    height, width = (d * (k - 1) + 1 for d, k in zip(g.dilation, weight.shape[2:], strict=True))
    spread = weight.new_zeros((*weight.shape[:2], height + more[0], width + more[1]))
    spread[:, :, : height : g.dilation[0], : width : g.dilation[1]] = weight
    rest = (g.output_padding[0] - more[0], g.output_padding[1] - more[1])
    return spread, replace(g, dilation=(1, 1), output_padding=rest)


def own_taps(weight: Tensor, geometry: Geometry, kernel: Sequence[int]) -> Tensor:
    """The layer's own weight, which :func:`as_in_program` has made ``weight`` of.

    Args:
        geometry, kernel: of the layer.
    """
    if not geometry.transposed:
        return weight
    dy, dx = geometry.dilation
    return weight[:, :, : dy * (kernel[0] - 1) + 1 : dy, : dx * (kernel[1] - 1) + 1 : dx]
