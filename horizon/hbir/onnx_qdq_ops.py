"""The operators of a program, each as ONNX operators on dequantised tensors (see ``onnx_qdq``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.hbir.fixed_point import LIMITS, offset_fraction_bits
from horizon.hbir.graph import Graph, Node
from horizon.hbir.onnx_common import NCHW_AXIS, Builder, correlation_band, nchw, one_scale

# A factor this close to one is one: multipliers have 24 bits.
NO_FACTOR = 2.0**-20


class QdqExport:
    """One method for each operator of a program, under the operator's name."""

    OPERATORS = frozenset(
        ("conv2d", "conv_transpose2d", "correlation", "warp", "rescale", "add", "concat", "slice")
    )

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = Builder()
        # The quantised form of each int8 and int16 tensor, the float form of each int32 tensor.
        self.stored: dict[str, str] = {}
        self.floats: dict[tuple[str, bool], str] = {}

    def scales(self, name: str) -> np.ndarray:
        """float64, () or (C,)."""
        return nchw(np.array(self.graph.tensors[name].scales, np.float64)).reshape(-1).squeeze()

    def conv2d(self, node: Node) -> None:
        values = node.attributes
        (py, px), groups = values["padding"], int(values["groups"])
        self.convolution(
            node,
            "Conv",
            values["weight"].transpose(0, 3, 1, 2),
            0,
            pads=[py, px, py, px],
            dilations=list(values["dilation"]),
            group=groups,
        )

    def conv_transpose2d(self, node: Node) -> None:
        values = node.attributes
        py, px = values["padding"]
        weight = values["weight"].transpose(3, 0, 1, 2)
        self.convolution(node, "ConvTranspose", weight, 1, pads=[py, px, py, px])

    def convolution(
        self, node: Node, operator: str, weight: np.ndarray, axis: int, **geometry: Any
    ) -> None:
        """``axis`` is that of the weight's output channels."""
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
        self.finish(node, total)

    def correlation(self, node: Node) -> None:
        (first, a), (second, b) = (self.operand(name) for name in node.inputs)
        zero = self.builder.constant(0, "float32")

        def multiply(left: str, right: str) -> str:
            return self.builder.add("MatMul", left, right)

        # In front of the transposition: ONNX Runtime's propagation of DequantizeLinear through a
        # Transpose makes a model of opset 21 that it then refuses.
        first = self.times(first, self.ratio(node, node.attributes["multiplier"]) / (a * b))
        band = correlation_band(self.builder, node, self.graph, first, second, zero, multiply)
        self.finish(node, band)

    def warp(self, node: Node) -> None:
        """GridSample, on the grid of the pixels' corners: it is there for sides of one pixel."""
        add, constant = self.builder.add, self.builder.constant
        feature, offset = node.inputs
        _, height, width, _ = self.graph.tensors[feature].shape
        fraction = constant(2.0 ** -offset_fraction_bits(height, width), "float32")
        values = node.attributes
        operand, scale = self.operand(offset)
        pixels = values["offset_multiplier"] * 2.0 ** -values["offset_shift"] / scale
        moved = self.times(operand, pixels)
        zero = constant(0, "int16")
        moved = add("QuantizeLinear", moved, fraction, zero)
        moved = add("DequantizeLinear", moved, fraction, zero)
        size = np.array([width, height]).reshape(1, 2, 1, 1)
        corners = np.zeros((1, 2, 1, width)), np.zeros((1, 2, height, 1))
        corners[0][0, 0, 0] = (2 * np.arange(width) + 1) / width - 1
        corners[1][0, 1, :, 0] = (2 * np.arange(height) + 1) / height - 1
        grid = add("Mul", moved, constant(2 / size, "float32"))
        for corner in corners:
            grid = add("Add", grid, constant(corner, "float32"))
        grid = add("Transpose", grid, perm=[0, 2, 3, 1])
        sampled = add(
            "GridSample",
            self.real(feature),
            grid,
            mode="linear",
            padding_mode="zeros",
            align_corners=0,
        )
        self.quantise(node.output, sampled)

    def rescale(self, node: Node) -> None:
        self.finish(node, self.scaled(node, node.inputs[0], node.attributes["multiplier"]))

    def add(self, node: Node) -> None:
        (a, b), values = node.inputs, node.attributes
        first = self.scaled(node, a, values["multiplier_a"])
        second = self.scaled(node, b, values["multiplier_b"])
        self.finish(node, self.builder.add("Add", first, second))

    def concat(self, node: Node) -> None:
        inputs = [self.stored[name] for name in node.inputs]
        axis = NCHW_AXIS[node.attributes["axis"]]
        self.stored[node.output] = self.builder.add("Concat", *inputs, axis=axis)

    def slice(self, node: Node) -> None:
        values = node.attributes
        self.stored[node.output] = self.builder.slice(
            self.stored[node.inputs[0]], NCHW_AXIS[values["axis"]], values["start"], values["stop"]
        )

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
        if one_scale(self.graph.tensors[name]):
            return self.real(name), float(self.scales(name))
        return self.dequantise(name, unit=True), 1.0

    def real(self, name: str) -> str:
        """A tensor as real numbers."""
        return self.dequantise(name, unit=False)

    def dequantise(self, name: str, unit: bool) -> str:
        """A tensor as real numbers, or (``unit``) as its integers."""
        info, builder = self.graph.tensors[name], self.builder
        if (name, unit) not in self.floats:
            scales = np.array(1.0) if unit else self.scales(name)
            if info.dtype == "int32":
                # It is there as real numbers.
                self.floats[name, unit] = self.times(self.stored[name], scales / self.scales(name))
            else:
                self.floats[name, unit] = builder.add(
                    "DequantizeLinear",
                    self.stored[name],
                    builder.constant(scales, "float32"),
                    builder.constant(np.zeros(scales.shape), info.dtype),
                    axis=1,
                )
        return self.floats[name, unit]

    def finish(self, node: Node, total: str) -> None:
        """ReLU or another clamp, then quantisation."""
        low, high = LIMITS[self.graph.tensors[node.output].dtype]
        lo, hi = node.attributes["lo"], node.attributes["hi"]
        scales = self.scales(node.output)
        if lo == 0:
            total = self.builder.add("Relu", total)
        elif lo > low:
            limit = self.builder.constant(nchw(lo * scales), "float32")
            total = self.builder.add("Max", total, limit)
        if hi < high:
            limit = self.builder.constant(nchw(hi * scales), "float32")
            total = self.builder.add("Min", total, limit)
        self.quantise(node.output, total)

    def quantise(self, name: str, value: str) -> None:
        """Real numbers as the stored form of a tensor."""
        dtype, scales = self.graph.tensors[name].dtype, self.scales(name)
        if dtype != "int32":
            value = self.builder.add(
                "QuantizeLinear",
                value,
                self.builder.constant(scales, "float32"),
                self.builder.constant(np.zeros(scales.shape), dtype),
                axis=1,
            )
        self.stored[name] = value
