"""Convolution and transposed convolution, with bias, residual and clamp in one rounding."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.fixed_point import LIMITS, prove_no_overflow, requantize, requantize_sum
from horizon.hbir.operator import (
    NARROW,
    Operator,
    Shape,
    check_multiplier,
    check_shift,
    checked_accumulator,
    problem,
)

if TYPE_CHECKING:
    from horizon.hbir.graph import Node, TensorInfo

COMMON = {
    "weight": "int8 array",
    "bias": "int32 array",
    "stride": "pair",
    "padding": "pair",
    "multiplier": "int64 array",
    "shift": "int64 array",
    "lo": "int",
    "hi": "int",
}


class _Convolution(Operator):
    """``y = clamp((acc * M [+ residual * Mr] + 2^(s-1)) >> s, lo, hi)``.

    Inputs: x (N, H, W, I), and a residual of the output's shape if ``residual_multiplier`` is
    there. The proof bounds the sums of magnitudes by 2^28, so that float64 matrix products are
    exact in whatever order they add.
    """

    optional: ClassVar[Mapping[str, str]] = {"residual_multiplier": "int64 array"}
    input_types = (NARROW,)
    input_count = (1, 2)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        batch, height, width, channels = inputs[0].shape
        weight = node.attributes["weight"]
        if weight.ndim != 4 or 0 in weight.shape:
            raise problem(node, f"weight has shape {weight.shape}", "(O, kh, kw, I), not empty")
        self._check_geometry(node, channels)
        size = [self._side(node, side, axis) for axis, side in enumerate((height, width))]
        if min(size) < 1:
            raise problem(node, f"output of size {tuple(size)}", "at least one pixel")
        return batch, size[0], size[1], weight.shape[0]

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        values = node.attributes
        channels = output.shape[3]
        if values["weight"].min() < -127:
            raise problem(node, "a weight of -128", "-127..127")
        if values["bias"].shape != (channels,):
            raise problem(node, f"bias has shape {values['bias'].shape}", f"({channels},)")
        check_multiplier(node, "multiplier", channels)
        check_shift(node, "shift", channels)
        if (len(inputs) == 2) != ("residual_multiplier" in values):
            raise problem(
                node, f"{len(inputs)} inputs", "a second input exactly with residual_multiplier"
            )
        if len(inputs) == 2:
            check_multiplier(node, "residual_multiplier", channels)
            if inputs[1].shape != output.shape:
                raise problem(node, f"residual of shape {inputs[1].shape}", f"{output.shape}")
        largest = -LIMITS[inputs[0].dtype][0]
        prove_no_overflow(values["weight"], values["bias"], largest, f"layer {node.name}")

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        acc = self._accumulate(node, inputs[0].astype(np.float64)) + values["bias"]
        acc = checked_accumulator(node, acc)
        shift, lo, hi = values["shift"], values["lo"], values["hi"]
        if len(inputs) == 1:
            return requantize(acc, values["multiplier"], shift, lo, hi)
        second = values["residual_multiplier"]
        return requantize_sum(acc, values["multiplier"], inputs[1], second, shift, lo, hi)

    @abstractmethod
    def _check_geometry(self, node: Node, channels: int) -> None: ...

    @abstractmethod
    def _side(self, node: Node, side: int, axis: int) -> int:
        """Rows (axis 0) or columns (axis 1) of the output for ``side`` of the input."""

    @abstractmethod
    def _accumulate(self, node: Node, x: np.ndarray) -> np.ndarray:
        """Sums of products (N, H', W', O), float64, without the bias."""


class Conv2d(_Convolution):
    """``acc[n,y,x,o] = bias[o] + sum w[o,ky,kx,i] * x[n,y',x',i]``.

    ``y' = y*sy - py + ky*dy``, ``x' = x*sx - px + kx*dx``. Outside of the input is 0.
    Output o reads the input channels of its group.
    """

    required: ClassVar[Mapping[str, str]] = {**COMMON, "dilation": "pair", "groups": "int"}

    def _check_geometry(self, node: Node, channels: int) -> None:
        values = node.attributes
        _check_pairs(node, stride=1, padding=0, dilation=1)
        outputs, groups, inputs = values["weight"].shape[0], values["groups"], channels
        if groups < 1 or outputs % groups or inputs % groups:
            raise problem(
                node, f"groups {groups}", f"a divisor of {inputs} inputs and {outputs} outputs"
            )
        if values["weight"].shape[3] * groups != inputs:
            raise problem(
                node,
                f"weight of shape {values['weight'].shape} in {groups} groups",
                f"(O, kh, kw, {inputs // groups}) for {inputs} input channels",
            )

    def _side(self, node: Node, side: int, axis: int) -> int:
        stride, padding, dilation = (
            node.attributes[key][axis] for key in ("stride", "padding", "dilation")
        )
        reach = dilation * (node.attributes["weight"].shape[1 + axis] - 1) + 1
        return (side + 2 * padding - reach) // stride + 1

    def _accumulate(self, node: Node, x: np.ndarray) -> np.ndarray:
        values = node.attributes
        weight, groups = values["weight"].astype(np.float64), values["groups"]
        outputs, kh, kw, _ = weight.shape
        (sy, sx), (py, px), (dy, dx) = values["stride"], values["padding"], values["dilation"]
        rows, columns = (self._side(node, x.shape[1 + axis], axis) for axis in (0, 1))
        padded = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)))
        total = np.zeros((groups, x.shape[0] * rows * columns, outputs // groups))
        for ky, kx in product(range(kh), range(kw)):
            top, left = ky * dy, kx * dx
            tap = padded[
                :,
                top : top + (rows - 1) * sy + 1 : sy,
                left : left + (columns - 1) * sx + 1 : sx,
            ]
            # (pixels, groups, inputs) and (groups, outputs, inputs), group by group.
            pixels = tap.reshape(-1, groups, x.shape[3] // groups).transpose(1, 0, 2)
            matrix = weight[:, ky, kx].reshape(groups, outputs // groups, -1).transpose(0, 2, 1)
            total += pixels @ matrix
        return total.transpose(1, 0, 2).reshape(x.shape[0], rows, columns, outputs)


class ConvTranspose2d(_Convolution):
    """``acc[n, y*sy - py + ky, x*sx - px + kx, o] += w[o,ky,kx,i] * x[n,y,x,i]``, from the bias.

    Output size ``(H - 1) * sy - 2 * py + kh``.
    """

    required: ClassVar[Mapping[str, str]] = COMMON

    def _check_geometry(self, node: Node, channels: int) -> None:
        _check_pairs(node, stride=1, padding=0)
        shape = node.attributes["weight"].shape
        if shape[3] != channels:
            raise problem(node, f"weight of shape {shape}", f"(O, kh, kw, {channels})")

    def _side(self, node: Node, side: int, axis: int) -> int:
        stride, padding = (node.attributes[key][axis] for key in ("stride", "padding"))
        size: int = node.attributes["weight"].shape[1 + axis]
        return (side - 1) * stride - 2 * padding + size

    def _accumulate(self, node: Node, x: np.ndarray) -> np.ndarray:
        values = node.attributes
        weight = values["weight"].astype(np.float64)
        outputs, kh, kw, _ = weight.shape
        (sy, sx), (py, px) = values["stride"], values["padding"]
        batch, height, width, _ = x.shape
        whole = np.zeros((batch, (height - 1) * sy + kh, (width - 1) * sx + kw, outputs))
        for ky, kx in product(range(kh), range(kw)):
            whole[
                :,
                ky : ky + (height - 1) * sy + 1 : sy,
                kx : kx + (width - 1) * sx + 1 : sx,
            ] += x @ weight[:, ky, kx].T
        rows, columns = (self._side(node, x.shape[1 + axis], axis) for axis in (0, 1))
        return whole[:, py : py + rows, px : px + columns]


def _check_pairs(node: Node, **smallest: int) -> None:
    for name, low in smallest.items():
        if min(node.attributes[name]) < low:
            raise problem(node, f"{name} {node.attributes[name]}", f"two numbers of at least {low}")
