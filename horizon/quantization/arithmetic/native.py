"""The integer operators on CPU tensors, by the kernels that run compiled programs.

Each function is one instruction of ``docs/hbm_format.md`` on NCHW tensors. Channels lie innermost
in memory (torch's channels_last); a tensor that lies otherwise is copied first. Inputs have integer
types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from horizon.extension import native as _native
from horizon.hbir.fixed_point import offset_fraction_bits
from horizon.hbir.operators.conv2d import one_for_each
from horizon.hbm import DataType, Opcode, channel_table, layout_for, pack_weights
from horizon.hbm.format import INSTRUCTION
from horizon.hbm.records import UNIT_OF
from horizon.kernel_set import kernels_name
from horizon.quantization.arithmetic.kernels import Geometry


@dataclass(frozen=True)
class _Group:
    """One group of a convolution: its channels and constants."""

    record: bytes
    table: bytes
    weight: np.ndarray
    inputs: slice
    outputs: slice


class Convolution:
    """A convolution's constants, packed once.

    Args:
        weight: int8 in torch's order. bias: int32 (O,).
        multiplier, shift, residual_multiplier: int64 (O,); negative and negative_residual, for
            sums below zero: the same or None.
        low, high: limits of the output. input_bits: 8 or 16.
    """

    def __init__(
        self,
        geometry: Geometry,
        weight: Tensor,
        bias: Tensor,
        multiplier: Tensor,
        shift: Tensor,
        residual_multiplier: Tensor | None,
        low: int,
        high: int,
        input_bits: int,
        negative: Tensor | None = None,
        negative_residual: Tensor | None = None,
    ) -> None:
        self.geometry = geometry
        ordered = geometry.order.outputs_first(weight).permute(0, 2, 3, 1)
        filters = np.ascontiguousarray(ordered.numpy())
        self.kernel = filters.shape[1:3]
        self.channels, inputs = len(filters), filters.shape[3]
        groups = geometry.groups
        depthwise = not geometry.transposed and one_for_each(self.channels, groups, inputs)
        if depthwise:  # one instruction for all of them
            groups, inputs = 1, self.channels
        size = self.channels // groups
        layout = layout_for(size, DataType[f"int{input_bits}"], depthwise)
        record = _record(
            Opcode.conv,
            kernel=self.kernel,
            stride=geometry.stride,
            dilation=geometry.dilation,
            pad=geometry.padding,
            lo=low,
            hi=high,
            transposed=geometry.transposed,
            weight_layout=layout,
            **_two_slopes(negative),
        )
        optional = [residual_multiplier, negative, negative_residual]

        def ratio(own: slice) -> tuple[np.ndarray, np.ndarray]:
            return multiplier[own].numpy(), shift[own].numpy()

        self.groups = []
        for index in range(groups):
            own = slice(index * size, (index + 1) * size)
            columns = [None if values is None else values[own].numpy() for values in optional]
            table = _table(bias[own].numpy(), *ratio(own), *columns)
            packed = pack_weights(np.ascontiguousarray(filters[own]), layout)
            taken = slice(index * inputs, (index + 1) * inputs)
            self.groups.append(_Group(record, table, packed, taken, own))

    def __call__(self, x: Tensor, residual: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Integers (N, C, H, W) to (N, O, H', W') of ``dtype``."""
        g = self.geometry
        sizes = []
        for axis, side in enumerate(x.shape[-2:]):
            stride, pad, kernel = g.stride[axis], g.padding[axis], self.kernel[axis]
            if g.transposed:
                sizes.append((side - 1) * stride - 2 * pad + kernel + g.output_padding[axis])
            else:
                reach = g.dilation[axis] * (kernel - 1) + 1
                sizes.append((side + pad + g.end[axis] - reach) // stride + 1)
        result, out = _empty(len(x), self.channels, sizes, dtype)
        a = _nhwc(x)
        b = None if residual is None else _nhwc(residual)
        for group in self.groups:
            own = group.outputs
            _run(
                group.record,
                out[..., own],
                a[..., group.inputs],
                None if b is None else b[..., own],
                group.table,
                group.weight,
            )
        return result


def correlate(
    first: Tensor,
    second: Tensor,
    max_displacement: int,
    ratio: tuple[int, int],
    limits: tuple[int, int],
    dtype: torch.dtype,
    negative: int | None = None,
) -> Tensor:
    """Requantised correlation, (N, (2 md + 1)**2, H, W)."""
    record = _record(
        Opcode.correlation,
        pad=(max_displacement, max_displacement),
        reach=max_displacement,
        lo=limits[0],
        hi=limits[1],
        **_two_slopes(negative),
    )
    channels = (2 * max_displacement + 1) ** 2
    result, out = _empty(len(first), channels, first.shape[-2:], dtype)
    _run(record, out, _nhwc(first), _nhwc(second), _table(0, *ratio, None, negative))
    return result


def warp(feature: Tensor, offset: Tensor, ratio: tuple[int, int]) -> Tensor:
    """Bilinear samples; ``ratio`` turns the offset's integers (N, 2, H, W) into pixels."""
    height, width = feature.shape[-2:]
    bits = offset_fraction_bits(height, width)
    multiplier, shift = ratio
    result, out = _empty(len(feature), feature.shape[1], (height, width), feature.dtype)
    table = channel_table(0, multiplier, shift - bits)
    record = _record(Opcode.warp, fraction_bits=bits)
    _run(record, out, _nhwc(feature), _nhwc(offset), table)
    return result


def rescale(
    x: Tensor,
    ratio: tuple[Any, Any],
    limits: tuple[int, int],
    dtype: torch.dtype,
    negative: Any = None,
) -> Tensor:
    """``clamp((x * M + 2^(s-1)) >> s)``; M, s and the M below zero are numbers or (C,)."""
    result, out = _empty(len(x), x.shape[1], x.shape[-2:], dtype)
    record = _record(Opcode.rescale, lo=limits[0], hi=limits[1], **_two_slopes(negative))
    _run(record, out, _nhwc(x), None, _table(0, *ratio, None, negative))
    return result


def add(
    first: Tensor,
    second: Tensor,
    ratios: tuple[int, int, int],
    limits: tuple[int, int],
    dtype: torch.dtype,
    negative: tuple[int, int] | None = None,
) -> Tensor:
    """``clamp((a * Ma + b * Mb + 2^(s-1)) >> s)``; ``ratios`` is (Ma, Mb, s).

    ``negative``: the multipliers where the sum is below zero.
    """
    ma, mb, shift = ratios
    result, out = _empty(len(first), first.shape[1], first.shape[-2:], dtype)
    record = _record(Opcode.add, lo=limits[0], hi=limits[1], **_two_slopes(negative))
    below = negative or (None, None)
    _run(record, out, _nhwc(first), _nhwc(second), _table(0, ma, shift, mb, *below))
    return result


def lookup(x: Tensor, table: np.ndarray, dtype: torch.dtype) -> Tensor:
    """``table[x + 128]`` for int8 ``x``; ``table`` (256,) is of the output's type."""
    result, out = _empty(len(x), x.shape[1], x.shape[-2:], dtype)
    _run(_record(Opcode.lookup), out, _nhwc(x), None, table.tobytes())
    return result


def multiply(
    first: Tensor,
    second: Tensor,
    ratio: tuple[int, int],
    limits: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """``clamp((a * b * M + 2^(s-1)) >> s)``; sides of ``second`` may be 1, ``ratio`` is (M, s)."""
    result, out = _empty(len(first), first.shape[1], first.shape[-2:], dtype)
    record = _record(Opcode.mul, lo=limits[0], hi=limits[1])
    _run(record, out, _nhwc(first), _nhwc(second), _table(0, *ratio, None))
    return result


def matrix_product(
    first: Tensor,
    second: Tensor,
    heads: int,
    transposed: bool,
    ratio: tuple[int, int],
    limits: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """The requantised products of the operator ``matmul``; ``ratio`` is (M, s)."""
    pixels = second.shape[2] * second.shape[3]
    channels = heads * pixels if transposed else second.shape[1]
    result, out = _empty(len(first), channels, first.shape[-2:], dtype)
    record = _record(Opcode.matmul, transposed=transposed, lo=limits[0], hi=limits[1])
    _run(record, out, _nhwc(first), _nhwc(second), _table(0, *ratio, None))
    return result


def transpose(x: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
    """Pixels and channels exchanged, as the operator ``transpose`` has it."""
    result, out = _empty(len(x), heads * x.shape[2] * x.shape[3], size, x.dtype)
    _run(_record(Opcode.transpose), out, _nhwc(x), None)
    return result


def concatenate(parts: Sequence[Tensor], axis: int) -> Tensor:
    """``torch.cat`` along an axis of N, C, H, W.

    By numpy: torch's threads would go on spinning after it, on the cores of the next instruction.
    """
    joined = np.concatenate([_nhwc(part) for part in parts], axis=(0, 3, 1, 2)[axis])
    return torch.from_numpy(joined).permute(0, 3, 1, 2)


def compute(
    opcode: Opcode,
    x: Tensor,
    size: Sequence[int],
    fields: Mapping[str, Any] | None = None,
    table: bytes = b"",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """What an instruction of one operand makes of ``x``.

    Args:
        size: (H', W') of the output.
        fields: of the instruction (``docs/hbm_format.md``), those that it uses.
        table: its channel entries.
        dtype: of the output; that of ``x`` without one.
    """
    result, out = _empty(len(x), x.shape[1], size, dtype or x.dtype)
    _run(_record(opcode, **(fields or {})), out, _nhwc(x), None, table)
    return result


def _two_slopes(negative: Any) -> dict[str, int]:
    """The field that says so, where there are multipliers for sums below zero."""
    return {} if negative is None else {"two_slopes": 1}


def _table(bias: Any, multiplier: Any, shift: Any, residual: Any, *negative: Any) -> bytes:
    """The channel table; its last columns only where there are two slopes."""
    given = [column for column in negative if column is not None]
    return channel_table(bias, multiplier, shift, residual, *(negative if given else ()))


def _record(opcode: Opcode, **fields: Any) -> bytes:
    item = np.zeros((), INSTRUCTION)
    item["opcode"], item["unit"] = opcode, UNIT_OF[opcode]
    for name, value in {"kernel": 1, "stride": 1, "dilation": 1, **fields}.items():
        item[name] = value
    return item.tobytes()


def _run(
    record: bytes,
    out: np.ndarray,
    a: np.ndarray,
    b: np.ndarray | None,
    table: bytes = b"",
    weight: np.ndarray | None = None,
) -> None:
    try:
        _native.run_instruction(record, out, a, b, weight, table, torch.get_num_threads())
    except ValueError:
        kernels_name()  # InputError if the user asked for kernels that there are not
        raise


def _nhwc(x: Tensor) -> np.ndarray:
    values = x.detach().permute(0, 2, 3, 1)
    if values.shape[3] > 1 and values.stride(3) != 1:
        values = values.contiguous()
    array: np.ndarray = values.numpy()
    return array


def _empty(
    images: int, channels: int, size: Sequence[int], dtype: torch.dtype
) -> tuple[Tensor, np.ndarray]:
    """A new tensor (N, C, H, W) and the array (N, H, W, C) on its memory."""
    values = torch.empty((images, *size, channels), dtype=dtype)
    return values.permute(0, 3, 1, 2), values.numpy()
