"""The fixed-point operators on integer tensors in torch, exact on CPU and GPU.

Training and GPUs use them; the integer model on a CPU has the faster ``native``.

Convolutions run in floating point on integers that it represents exactly. A float32 sum is exact
in any order while the sum of its absolute summands stays below 2**24; larger convolutions are cut
into groups of input channels that keep below it. Requantisation is float64, where every
intermediate value of ``fixed_point.md`` is exact. Shapes are NCHW.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from horizon.hbir.fixed_point import offset_fraction_bits
from horizon.nn.correlation import banded_products
from horizon.nn.dilated_conv import dilated_conv2d
from horizon.nn.map_product import map_product
from horizon.nn.narrow_conv import WIDE, narrow_conv2d, narrow_conv_transpose2d
from horizon.quantization.weight_order import WeightOrder

EXACT_IN_FLOAT32 = 2**24
BLOCK = 2**16
"""Values that are requantised at a time: their float64 form stays in the cache."""


@dataclass(frozen=True)
class Geometry:
    """Where a convolution's taps lie, as in ``torch.nn.Conv2d`` / ``ConvTranspose2d``.

    Attributes:
        end_padding: below and at the right; None where it is ``padding``.
        output_padding: of a transposed one.
    """

    transposed: bool = False
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    end_padding: tuple[int, int] | None = None
    output_padding: tuple[int, int] = (0, 0)

    @property
    def order(self) -> WeightOrder:
        """The order of its weight's axes."""
        return WeightOrder(self.transposed, self.groups)

    @property
    def end(self) -> tuple[int, int]:
        """Zeros below and at the right."""
        return self.padding if self.end_padding is None else self.end_padding


DOUBLING = Geometry(True, (2, 2), (1, 1))
"""With a kernel of 4x4, the output has twice as many rows and columns."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """The convolution in the type of ``x`` and ``weight`` by the quickest kernel there is."""
    g = geometry
    kernel = tuple(weight.shape[-2:])
    wide_to_narrow = not g.groups > 1 and x.shape[1] >= WIDE
    if g.transposed:
        if wide_to_narrow and weight.shape[1] <= 4 and kernel == (4, 4) and g == DOUBLING:
            return narrow_conv_transpose2d(x, weight, bias)
        return functional.conv_transpose2d(
            x, weight, bias, g.stride, g.padding, g.output_padding, g.groups, g.dilation
        )
    if g.end != g.padding:
        (top, left), (below, right) = g.padding, g.end
        x = functional.pad(x, (left, right, top, below))
        return functional.conv2d(x, weight, bias, g.stride, 0, g.dilation, g.groups)
    same = g.stride == (1, 1) and kernel[0] == kernel[1] and kernel[0] % 2 == 1 and g.groups == 1
    reach = tuple(d * (k // 2) for d, k in zip(g.dilation, kernel, strict=True))
    if same and g.padding == reach and g.dilation[0] == g.dilation[1]:
        if g.dilation[0] > 1:
            return dilated_conv2d(x, weight, bias, g.dilation[0])
        if wide_to_narrow and weight.shape[0] <= 4:
            return narrow_conv2d(x, weight, bias)
    return functional.conv2d(x, weight, bias, g.stride, g.padding, g.dilation, g.groups)


def channel_groups(weight: Tensor, geometry: Geometry, largest: int) -> list[tuple[int, int]]:
    """Ranges of input channels whose sums are exact in float32; empty if there are none.

    ``largest`` is the largest |input|. Grouped convolutions are not cut.
    """
    # On the CPU: the search below looks at every channel, which a GPU would be asked one by one.
    sums = weight.cpu().abs().long().sum((-1, -2)) * largest
    per_input = geometry.order.outputs_first(sums).t()  # (I / groups, O)
    if geometry.groups > 1:
        whole = int(per_input.sum(0).max()) < EXACT_IN_FLOAT32
        return [(0, per_input.shape[0] * geometry.groups)] if whole else []
    if int(per_input.max()) >= EXACT_IN_FLOAT32:
        return []
    ranges, start = [], 0
    total = torch.zeros_like(per_input[0])
    for channel, row in enumerate(per_input):
        if int((total + row).max()) >= EXACT_IN_FLOAT32:
            ranges.append((start, channel))
            start, total = channel, torch.zeros_like(row)
        total = total + row
    return [*ranges, (start, per_input.shape[0])]


def accumulate(x: Tensor, weight: Tensor, geometry: Geometry, ranges: list) -> list[Tensor]:
    """Exact partial sums of the convolution of integers, whose sum is the accumulator.

    Args:
        x: integers (N, C, H, W), any type.
        weight: integers as float32, or float64 where ``ranges`` is empty.
        ranges: of :func:`channel_groups`.
    """
    if x.is_cuda or not ranges:  # a GPU's float32 kernels may transform or shorten their input
        with torch.autocast(x.device.type, enabled=False):
            return [convolve(x.double(), weight.double(), None, geometry).round_()]
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        if len(ranges) == 1:
            return [convolve(x, weight, None, geometry)]
        axis = 0 if geometry.transposed else 1
        return [
            convolve(x[:, a:b], weight.narrow(axis, a, b - a), None, geometry) for a, b in ranges
        ]


def requantize(
    parts: list[Tensor],
    bias: Tensor | None,
    ratio: Tensor,
    low: int,
    high: int,
    dtype: torch.dtype,
    other: Tensor | None = None,
    other_ratio: Tensor | None = None,
    negative: Tensor | None = None,
    other_negative: Tensor | None = None,
) -> Tensor:
    """``clamp(floor((sum(parts) + bias) * ratio + other * other_ratio + 0.5), low, high)``.

    ``ratio`` and ``other_ratio`` are ``M * 2**-s`` in float64, () or (C,); bias is (C,). With
    ``negative`` these and ``other_negative`` are the ratios where the sum is below zero.
    """
    if negative is not None:
        limits = (low, high)
        ratios = (ratio, negative, other_ratio, other_negative)
        return _requantize_slopes(parts, bias, ratios, limits, dtype, other)
    first = parts[0]
    images, channels, height, width = first.shape
    result = first.new_empty(first.shape, dtype=dtype)
    offset = torch.full_like(ratio, 0.5)
    if bias is not None:
        offset = offset + bias.double() * ratio
    ratio, offset = (t.expand(channels).view(-1, 1, 1) for t in (ratio, offset))
    if other_ratio is not None:
        other_ratio = other_ratio.expand(channels).view(-1, 1, 1)
    step = max(1, BLOCK // (height * width)) if not first.is_cuda else channels
    for image in range(images):
        for start in range(0, channels, step):
            part = slice(start, start + step)
            values = parts[0][image, part].double()
            for more in parts[1:]:
                values += more[image, part]
            values.mul_(ratio[part]).add_(offset[part])
            if other is not None:
                values.addcmul_(other[image, part].double(), other_ratio[part])  # type: ignore[index]
            result[image, part] = values.floor_().clamp_(low, high)
    return result


def _requantize_slopes(
    parts: list[Tensor],
    bias: Tensor | None,
    ratios: tuple[Tensor | None, ...],
    limits: tuple[int, int],
    dtype: torch.dtype,
    other: Tensor | None,
) -> Tensor:
    images, channels, height, width = parts[0].shape
    result = parts[0].new_empty(parts[0].shape, dtype=dtype)
    ratio, negative, other_ratio, other_negative = (
        None if r is None else r.expand(channels).view(-1, 1, 1) for r in ratios
    )
    assert ratio is not None
    assert negative is not None
    step = max(1, BLOCK // (height * width)) if not parts[0].is_cuda else channels
    for image in range(images):
        for start in range(0, channels, step):
            own = slice(start, start + step)
            acc = parts[0][image, own].double()
            for more in parts[1:]:
                acc += more[image, own]
            if bias is not None:
                acc += bias[own].double().view(-1, 1, 1)
            above, below = acc * ratio[own], acc * negative[own]
            if other is not None and other_ratio is not None and other_negative is not None:
                summand = other[image, own].double()
                above += summand * other_ratio[own]
                below += summand * other_negative[own]
            steps = torch.where(above < 0, below, above).add_(0.5).floor_()
            result[image, own] = steps.clamp_(*limits)
    return result


def multiply(
    first: Tensor,
    second: Tensor,
    ratio: tuple[int, int],
    limits: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """``clamp((a * b * M + 2^(s-1)) >> s)`` of integers of at most 16 bits; ``ratio`` is (M, s).

    In int64: a product times M has up to 54 bits, one more than float64 holds.
    """
    multiplier, shift = ratio
    steps = (first.long() * second.long() * multiplier + (1 << (shift - 1))) >> shift
    return steps.clamp_(*limits).to(dtype)


def correlate(first: Tensor, second: Tensor, max_displacement: int) -> Tensor:
    """Exact sums over channels: integers (N, C, H, W) twice to (N, (2 md + 1)**2, H, W)."""
    largest = [2 ** (8 * t.element_size() - 1) for t in (first, second)]
    exact = first.shape[1] * largest[0] * largest[1] < EXACT_IN_FLOAT32 and not first.is_cuda
    kind = torch.float32 if exact else torch.float64
    with torch.autocast(first.device.type, enabled=False):
        return banded_products(first.to(kind), second.to(kind), max_displacement, 1.0)


def matrix_product(
    first: Tensor,
    second: Tensor,
    heads: int,
    transposed: bool,
    ratio: tuple[int, int],
    limits: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """The requantised products of the operator ``matmul``; ``ratio`` is (M, s).

    Sums stay below 2^28 and are exact in float64.
    """
    sums = map_product(first.double(), second.double(), heads, transposed)
    multiplier, shift = ratio
    scale = torch.tensor(multiplier * 2.0**-shift, dtype=torch.float64, device=sums.device)
    return requantize([sums], None, scale, *limits, dtype)


def requantize_offset(offset: Tensor, ratio: float, size: tuple[int, int]) -> Tensor:
    """Sampling offsets as int16 with the fraction bits of a map of this size.

    ``ratio`` is that of the offset's step to pixels.
    """
    bits = offset_fraction_bits(*size)
    steps = (offset.double() * (ratio * 2.0**bits) + 0.5).floor_()
    return steps.clamp_(-32768, 32767).to(torch.int16)


def warp(feature: Tensor, offset: Tensor) -> Tensor:
    """Bilinear samples of integers.

    Args:
        feature: integers (N, C, H, W) of at most 16 bits, in an integer or float32 type.
        offset: integers (N, 2, H, W), (x, y) with the fraction bits of the map's size.

    Returns:
        (N, C, H, W) of the type of ``feature``.
    """
    images, channels, height, width = feature.shape
    bits = offset_fraction_bits(height, width)
    offset = offset.long()
    x = (torch.arange(width, device=offset.device) << bits) + offset[:, 0]
    y = (torch.arange(height, device=offset.device)[:, None] << bits) + offset[:, 1]
    # Weights of up to 2 * 8 bits times 8 bits of value fit float32.
    kind = torch.float64 if feature.dtype == torch.int16 else torch.float32
    flat = feature.reshape(images, channels, height * width).to(kind)
    mask = (1 << bits) - 1
    total = flat.new_zeros(images, channels, height * width)
    for down in (0, 1):
        for right in (0, 1):
            row, column = (y >> bits) + down, (x >> bits) + right
            weight = (y & mask) if down else (1 << bits) - (y & mask)
            weight = weight * ((x & mask) if right else (1 << bits) - (x & mask))
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            taps = flat.gather(2, index.view(images, 1, -1).expand(-1, channels, -1))
            total += taps * (weight * inside).view(images, 1, -1)
    half = 0.5 if bits else 0.0
    result = (total * 2.0 ** (-2 * bits) + half).floor_()
    return result.view(images, channels, height, width).to(feature.dtype)
