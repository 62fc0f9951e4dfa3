"""What operators need for their form on dequantised tensors of ONNX (``onnx_qdq``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.onnx_builder import NCHW_AXIS, Builder, nchw, one_scale

# A factor this close to one is one: multipliers have 24 bits.
NO_FACTOR = 2.0**-20


class QdqExport:
    """An export under way: the graph so far, and the steps that operators share."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self.tensors = tensors
        self.builder = Builder()
        # The quantised form of each int8 and int16 tensor, the float form of each int32 tensor.
        self.stored: dict[str, str] = {}
        self.floats: dict[tuple[str, bool], str] = {}

    def scales(self, name: str) -> np.ndarray:
        """float64, () or (C,)."""
        return nchw(np.array(self.tensors[name].scales, np.float64)).reshape(-1).squeeze()

    def axis(self, axis: int) -> int:
        """An axis of a program (NHWC) as an axis of the file (NCHW)."""
        return NCHW_AXIS[axis]

    def convolution(
        self,
        node: Node,
        operator: str,
        weight: np.ndarray,
        axis: int,
        slopes: Mapping[str, str],
        **geometry: Any,
    ) -> None:
        """``axis`` is that of the weight's output channels; ``slopes``: see :meth:`sloped`."""
        builder, values = self.builder, node.attributes
        operand, scale = self.operand(node.inputs[0])
        # Real value of one step of the accumulator, for each output channel.
        step = self.ratio(node, values["multiplier"]) * np.ones(len(values["bias"]))
        kernel = builder.add(
            "DequantizeLinear",
            builder.constant(weight, "int8"),
            builder.constant(step / scale, "float32"),
            axis=axis,
        )
        bias = builder.add(
            "DequantizeLinear",
            builder.constant(values["bias"], "int32"),
            builder.constant(step, "float32"),
            axis=0,
        )
        strides = list(values["stride"])
        total = builder.add(operator, operand, kernel, bias, strides=strides, **geometry)
        if len(node.inputs) == 2:
            residual = self.scaled(node, node.inputs[1], values["residual_multiplier"])
            total = builder.add("Add", total, residual)
        self.finish(node, total, slopes)

    def ratio(self, node: Node, multiplier: Any) -> np.ndarray:
        """``M * 2^-s`` in real units of the output: float64, () or (C,)."""
        shift = np.asarray(node.attributes["shift"], np.float64)
        return np.asarray(multiplier) * 2.0**-shift * self.scales(node.output)

    def scaled(self, node: Node, name: str, multiplier: Any) -> str:
        """A summand of a node in real units of the output."""
        operand, scale = self.operand(name)
        return self.times(operand, self.ratio(node, multiplier) / scale)

    def times(self, value: str, factor: np.ndarray) -> str:
        if np.all(np.abs(factor - 1) <= NO_FACTOR):
            return value
        return self.builder.add("Mul", value, self.builder.constant(nchw(factor), "float32"))

    def operand(self, name: str) -> tuple[str, float]:
        """A tensor as floats to compute with, and what one step of it is in these floats.

        That is its scale, or 1 where it has one scale per channel.
        """
        if one_scale(self.tensors[name]):
            return self.real(name), float(self.scales(name))
        return self.dequantise(name, unit=True), 1.0

    def moved_operand(self, name: str, stored: str) -> tuple[str, float]:
        """``operand`` of an int8 or int16 tensor whose quantised form was moved to ``stored``."""
        info = self.tensors[name]
        scale = self.scales(name) if one_scale(info) else np.array(1.0)
        return self.linear(stored, scale, info.dtype), float(scale)

    def real(self, name: str) -> str:
        """A tensor as real numbers."""
        return self.dequantise(name, unit=False)

    def dequantise(self, name: str, unit: bool) -> str:
        """A tensor as real numbers, or (``unit``) as its integers."""
        info = self.tensors[name]
        if (name, unit) not in self.floats:
            scales = np.array(1.0) if unit else self.scales(name)
            if info.dtype == "int32":
                # It is there as real numbers.
                self.floats[name, unit] = self.times(self.stored[name], scales / self.scales(name))
            else:
                self.floats[name, unit] = self.linear(self.stored[name], scales, info.dtype)
        return self.floats[name, unit]

    def linear(self, stored: str, scales: np.ndarray, dtype: str) -> str:
        """Integers times their scales, () or (C,)."""
        return self.builder.add(
            "DequantizeLinear",
            stored,
            self.builder.constant(scales, "float32"),
            self.builder.constant(np.zeros(scales.shape), dtype),
            axis=1,
        )

    def cropped(self, name: str, height: int, width: int) -> str:
        """The top left of an int8 or int16 tensor as real numbers.

        It is cut before it is dequantised: what ONNX Runtime makes of a Slice behind
        DequantizeLinear, it may refuse itself.
        """
        info, stored = self.tensors[name], self.stored[name]
        if (height, width) == info.shape[1:3]:
            return self.real(name)
        for axis, side in ((2, height), (3, width)):
            stored = self.builder.slice(stored, axis, 0, side)
        return self.linear(stored, self.scales(name), info.dtype)

    def finish(self, node: Node, total: str, slopes: Mapping[str, str]) -> None:
        """A second slope, ReLU or another clamp, then quantisation."""
        low, high = LIMITS[self.tensors[node.output].dtype]
        lo, hi = node.attributes["lo"], node.attributes["hi"]
        scales = self.scales(node.output)
        total = self.sloped(node, total, slopes)
        if lo == 0:
            total = self.builder.add("Relu", total)
        elif lo > low:
            limit = self.builder.constant(nchw(lo * scales), "float32")
            total = self.builder.add("Max", total, limit)
        if hi < high:
            limit = self.builder.constant(nchw(hi * scales), "float32")
            total = self.builder.add("Min", total, limit)
        self.quantise(node.output, total)

    def sloped(self, node: Node, total: str, slopes: Mapping[str, str]) -> str:
        """Two slopes: negative values times what their multiplier is of the other one.

        Args:
            slopes: see ``Operator.slopes``.
        """
        above, below = (np.asarray(0.0), np.asarray(0.0))
        given = {name: below for name, below in slopes.items() if below in node.attributes}
        for name, negative in given.items():
            # Summands share a slope, but for the rounding of their multipliers: the larger one's.
            above = np.maximum(above, np.asarray(node.attributes[name], np.float64))
            value = np.asarray(node.attributes[negative], np.float64)
            below = np.where(np.abs(value) > np.abs(below), value, below)
        if not above.any():
            return total
        slope = np.divide(below, above, out=np.zeros_like(below + above), where=above != 0)
        slope = self.builder.constant(slope.reshape(-1, 1, 1), "float32")
        return self.builder.add("PRelu", total, slope)

    def keep(self, node: Node, value: str) -> None:
        """Real numbers of the first input's integers as the output, which has the same integers.

        Its scale is another one where it was multiplied by a number.
        """
        scales = self.scales(node.inputs[0])
        if self.tensors[node.output].dtype == "int32":
            value = self.times(value, self.scales(node.output) / scales)
        self.quantise(node.output, value, scales)

    def quantise(self, name: str, value: str, scales: np.ndarray | None = None) -> None:
        """Real numbers as the stored form of a tensor; ``scales``: other than its own."""
        dtype = self.tensors[name].dtype
        scales = self.scales(name) if scales is None else scales
        if dtype != "int32":
            value = self.builder.add(
                "QuantizeLinear",
                value,
                self.builder.constant(scales, "float32"),
                self.builder.constant(np.zeros(scales.shape), dtype),
                axis=1,
            )
        self.stored[name] = value
