"""Maps whose elements come from another map, and the operators that copy them there.

A :class:`Gather` says where each element of a map (C', H', W') comes from in one of (C, H, W).
Four forms can be carried out with slices, concats, convolutions whose weights are 0 and 1, and
exchanges of pixels and channels, so that every integer arrives as it was
(:mod:`horizon.quantization.movement.forms` finds which):

- :class:`Separable`: rows, columns and channels are each taken from a list (slices with steps,
  flips, repeats, paddings, shuffles of channels);
- :class:`Spread`: each pixel becomes a block of pixels (pixel shuffle);
- :class:`Folded`: each block of pixels becomes a pixel (pixel unshuffle);
- :class:`Exchanged`: pixels become channels, and channels pixels (matrices, transposed).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir.fixed_point import LIMITS
from horizon.quantization.qtensor import NHWC, QTensor

ZERO = -1  # in the place of a number: what padding adds
CHANNEL_RUNS = 8
"""More runs of channels than these are gathered by one convolution instead of slices."""


class Gather(ABC):
    """Where a map's elements come from."""

    @abstractmethod
    def record(self, x: QTensor) -> QTensor:
        """The map, written into the program that ``x`` is recorded in."""

    @abstractmethod
    def scale_of(self, x: QTensor) -> Tensor | None:
        """The map's scale, () or (C',); InputError where a channel would have several."""


@dataclass(frozen=True)
class Separable(Gather):
    """``out[c, y, x] = in[channels[c], rows[y], columns[x]]``, 0 where one of these is ``ZERO``."""

    channels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    def scale_of(self, x: QTensor) -> Tensor | None:
        if x.scale is None or not x.scale.dim():
            return x.scale
        return x.scale[torch.from_numpy(np.maximum(self.channels, 0)).to(x.scale.device)]

    def record(self, x: QTensor) -> QTensor:
        scale = self.scale_of(x)
        axes = [
            _Axis.of(places, side)
            for places, side in zip((self.rows, self.columns), x.shape[2:], strict=True)
        ]
        for axis, taken in zip((2, 3), axes, strict=True):
            x = _joined(x, axis, taken.runs)
        channels = _Axis.of(self.channels, x.shape[1])
        mixes = channels.before + channels.after > 0 or len(channels.runs) > CHANNEL_RUNS
        mixes = mixes or channels.step > 1
        if not mixes:
            x = _joined(x, 1, channels.runs)
        steps = axes[0].step, axes[1].step
        (top, below), (left, right) = ((a.before * a.step, a.after * a.step) for a in axes)
        padding = (top, left), (below, right)
        if not mixes and steps == (1, 1) and padding == ((0, 0), (0, 0)):
            return x
        weight = _ones(self.channels, x.shape[1]) if mixes else np.ones((x.shape[1], 1), np.int8)
        values: dict[str, Any] = {"stride": steps, "padding": padding[0], "dilation": (1, 1)}
        values |= {"end_padding": padding[1], "groups": 1 if mixes else x.shape[1]}
        moved = functional.pad(x.values, (left, right, top, below))
        moved = moved[:, :, :: steps[0], :: steps[1]]
        if mixes:
            moved = _channels(moved, self.channels)
        return _copied(x, "conv2d", weight[:, None, None], values, moved, scale)


@dataclass(frozen=True)
class Spread(Gather):
    """``out[c, y*a + i, x*b + j] = in[channels[c, i, j], y, x]``.

    Attributes:
        channels: (C', a, b).
    """

    channels: np.ndarray

    def scale_of(self, x: QTensor) -> Tensor | None:
        if x.scale is None or not x.scale.dim():
            return x.scale
        scales = x.scale.detach().cpu().numpy()[self.channels]
        if not np.array_equal(scales, np.broadcast_to(scales[:, :1, :1], scales.shape)):
            x.one_scale("a pixel shuffle")  # raises
        return torch.from_numpy(scales[:, 0, 0].copy()).to(x.scale.device)

    def record(self, x: QTensor) -> QTensor:
        outputs, high, wide = self.channels.shape
        n, _, height, width = x.shape
        blocks = x.values[:, torch.from_numpy(self.channels.reshape(-1))]
        blocks = blocks.view(n, outputs, high, wide, height, width).permute(0, 1, 4, 2, 5, 3)
        moved = blocks.reshape(n, outputs, height * high, width * wide)
        first = self.channels[:, 0, 0]
        if (self.channels == first[:, None, None]).all():
            x = Separable(first, np.arange(height), np.arange(width)).record(x)
            return _repeated(x, (high, wide), moved)
        weight = np.zeros((outputs, high, wide, x.shape[1]), np.int8)
        np.put_along_axis(weight, self.channels[..., None], 1, axis=3)
        values = {"stride": (high, wide), "padding": (0, 0)}
        return _copied(x, "conv_transpose2d", weight, values, moved, self.scale_of(x))


@dataclass(frozen=True)
class Folded(Gather):
    """``out[c, y, x] = in[channels[c], y*a + rows[c], x*b + columns[c]]``.

    Attributes:
        channels, rows, columns: (C',).
        block: (a, b).
    """

    channels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    block: tuple[int, int]

    def scale_of(self, x: QTensor) -> Tensor | None:
        if x.scale is None or not x.scale.dim():
            return x.scale
        return x.scale[torch.from_numpy(self.channels).to(x.scale.device)]

    def record(self, x: QTensor) -> QTensor:
        outputs, (high, wide) = len(self.channels), self.block
        weight = np.zeros((outputs, high, wide, x.shape[1]), np.int8)
        weight[np.arange(outputs), self.rows, self.columns, self.channels] = 1
        n, channels, height, width = x.shape
        blocks = x.values.view(n, channels, height // high, high, width // wide, wide)
        parts = (torch.from_numpy(p) for p in (self.channels, self.rows, self.columns))
        c, i, j = parts
        moved = blocks.permute(0, 1, 3, 5, 2, 4)[:, c, i, j]
        values: dict[str, Any] = {"stride": self.block, "padding": (0, 0), "dilation": (1, 1)}
        return _copied(x, "conv2d", weight, values | {"groups": 1}, moved, self.scale_of(x))


@dataclass(frozen=True)
class Exchanged(Gather):
    """``out[h*P + p, c // b, c % b] = in[channels[h, c], p]``, p one of the P pixels of a map.

    Attributes:
        channels: (heads, C), with as many as there are pixels in ``size``.
        size: (a, b).
    """

    channels: np.ndarray
    size: tuple[int, int]

    def scale_of(self, x: QTensor) -> Tensor | None:
        return None if x.scale is None else x.one_scale("an exchange of pixels and channels")

    def record(self, x: QTensor) -> QTensor:
        height, width = x.shape[2:]
        x = Separable(self.channels.reshape(-1), np.arange(height), np.arange(width)).record(x)
        assert x.recorder is not None
        heads = len(self.channels)
        values = exchanged(x.values, heads, self.size)
        result = replace(x, values=values, scale=self.scale_of(x))
        attributes = {"heads": heads, "size": self.size}
        return x.recorder.record("transpose", f"{x.name}.gather", [x], result, attributes)


def exchanged(values: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
    """The pixels of a map (N, heads * a * b, H, W) as channels, (N, heads * H * W, a, b)."""
    matrices = values.reshape(len(values), heads, size[0] * size[1], -1)
    return matrices.transpose(2, 3).reshape(len(values), -1, *size)


@dataclass(frozen=True)
class _Axis:
    """The elements taken along one axis: zeros, runs of elements ``step`` apart, zeros.

    Attributes:
        runs: (start, stop) of each run; with a step there is only one.
    """

    before: int
    after: int
    runs: list[tuple[int, int]]
    step: int = 1

    @classmethod
    def of(cls, places: np.ndarray, side: int) -> _Axis:
        """For a list of places among ``side``."""
        taken = np.flatnonzero(places != ZERO)
        before, after = int(taken[0]), int(len(places) - 1 - taken[-1])
        inside = places[before : len(places) - after]
        steps = np.diff(inside)
        if len(inside) > 1 and steps[0] > 1 and (steps == steps[0]).all():
            start, step = int(inside[0]), int(steps[0])
            whole = (side - start - 1) // step + 1 == len(inside)
            return cls(before, after, [(start, side if whole else int(inside[-1]) + 1)], step)
        cuts = [0, *(np.flatnonzero(steps != 1) + 1).tolist(), len(inside)]
        runs = [(int(inside[a]), int(inside[b - 1]) + 1) for a, b in pairwise(cuts)]
        return cls(before, after, runs)


def _joined(x: QTensor, axis: int, runs: list[tuple[int, int]]) -> QTensor:
    """The runs of an axis (of N, C, H, W) one after the other."""
    if runs == [(0, x.shape[axis])]:
        return x
    parts = [x.cut(axis, start, stop) for start, stop in runs]
    if len(parts) == 1:
        return parts[0]
    assert x.recorder is not None
    scale = x.scale
    if axis == 1 and scale is not None and scale.dim():
        scale = torch.cat([part.channel_scale() for part in parts])
    result = replace(x, values=torch.cat([part.values for part in parts], axis), scale=scale)
    attributes = {"axis": NHWC[axis]}
    return x.recorder.record("concat", f"{x.name}.gather", parts, result, attributes)


def _repeated(x: QTensor, factors: tuple[int, int], moved: Tensor) -> QTensor:
    """Every pixel as a block of this size: the nearest one, enlarged."""
    assert x.recorder is not None
    _check_bits(x)
    flags = dict.fromkeys(("bilinear", "align_corners", "exact"), 0)
    values: dict[str, Any] = {"up": factors, "down": (1, 1), **flags}
    return x.recorder.record("resize", f"{x.name}.gather", [x], replace(x, values=moved), values)


def _check_bits(x: QTensor) -> None:
    if x.bits == 32:
        raise InputError(
            f"{x.name}: accumulators of 32 bits cannot be moved (padding, steps, shuffles, "
            "repetition); give the layer before a result of 8 or 16 bits, or let the network end "
            "there"
        )


def _ones(channels: np.ndarray, inputs: int) -> np.ndarray:
    """Weights (C', C) that take these channels."""
    weight = np.zeros((len(channels), inputs), np.int8)
    taken = np.flatnonzero(channels != ZERO)
    weight[taken, channels[taken]] = 1
    return weight


def _channels(values: Tensor, channels: np.ndarray) -> Tensor:
    taken = values[:, torch.from_numpy(np.maximum(channels, 0))]
    taken[:, torch.from_numpy(channels == ZERO)] = 0
    return taken


def _copied(
    x: QTensor,
    operator: str,
    weight: np.ndarray,
    values: dict[str, Any],
    moved: Tensor,
    scale: Tensor | None,
) -> QTensor:
    """A convolution with weights 0 and 1 that rounds nothing: ``moved``, written down."""
    assert x.recorder is not None
    _check_bits(x)
    low, high = LIMITS[f"int{x.bits}"]
    outputs = len(weight)
    values = values | {
        "weight": np.ascontiguousarray(weight),
        "bias": np.zeros(outputs, np.int32),
        "multiplier": np.full(outputs, 1 << 23, np.int64),
        "shift": np.full(outputs, 23, np.int64),
        "lo": low,
        "hi": high,
    }
    result = replace(x, values=moved, scale=scale)
    return x.recorder.record(operator, f"{x.name}.gather", [x], result, values)
