"""The operators of a program, each as exact integer operators of ONNX (see ``onnx_integer``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from horizon.hbir.fixed_point import LIMITS, offset_fraction_bits
from horizon.hbir.graph import Graph, Node
from horizon.hbir.onnx_common import NCHW_AXIS, Builder, correlation_band, nchw

BIAS = {"int8": 128, "int16": 1 << 15, "int32": 1 << 31}
# A tensor, its multiplier and what it is larger by than the number it stands for.
Summand = tuple[str, Any, Any]


class IntegerExport:
    """One method for each operator of a program, under the operator's name."""

    OPERATORS = frozenset(
        ("conv2d", "conv_transpose2d", "correlation", "warp", "rescale", "add", "concat", "slice")
    )

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = Builder()
        self.halves: dict[str, tuple[str, str]] = {}

    def stored(self, name: str) -> str:
        """The ONNX tensor that holds a tensor of the program."""
        return f"{name}_plus_128" if self.graph.tensors[name].dtype == "int8" else name

    def offset(self, name: str) -> int:
        """What the stored tensor is larger by than the tensor."""
        return 128 if self.graph.tensors[name].dtype == "int8" else 0

    def conv2d(self, node: Node) -> None:
        values = node.attributes
        (py, px), groups = values["padding"], values["groups"]
        accumulator = self.convolution(
            node.inputs[0],
            values["weight"].transpose(0, 3, 1, 2),
            strides=values["stride"],
            pads=(py, px, py, px),
            dilations=values["dilation"],
            group=groups,
        )
        self.finish(node, accumulator)

    def conv_transpose2d(self, node: Node) -> None:
        """All outputs that have the same remainder, modulo the stride, are one convolution.

        Output row ``s * q + r`` (before cropping) is ``sum_t x[q - t] * w[s * t + r]``. The s * s
        remainders become channels of one convolution with mirrored taps t, then interleaved.
        """
        values = node.attributes
        weight = values["weight"]
        outputs, *kernel, inputs = weight.shape
        (sy, sx), (py, px) = values["stride"], values["padding"]
        ty, tx = -(-kernel[0] // sy), -(-kernel[1] // sx)
        taps = np.zeros((outputs, ty * sy, tx * sx, inputs), weight.dtype)
        taps[:, : kernel[0], : kernel[1]] = weight
        taps = taps.reshape(outputs, ty, sy, tx, sx, inputs)[:, ::-1, :, ::-1]
        taps = taps.transpose(0, 2, 4, 5, 1, 3).reshape(outputs * sy * sx, inputs, ty, tx)
        accumulator = self.convolution(node.inputs[0], taps, pads=(ty - 1, tx - 1, ty - 1, tx - 1))
        batch, height, width, _ = self.graph.tensors[node.inputs[0]].shape
        rows, columns = height + ty - 1, width + tx - 1
        add, sizes = self.builder.add, self.builder.sizes
        split = add("Reshape", accumulator, sizes(batch, outputs, sy, sx, rows, columns))
        split = add("Transpose", split, perm=[0, 1, 4, 2, 5, 3])
        whole = add("Reshape", split, sizes(batch, outputs, rows * sy, columns * sx))
        _, height, width, _ = self.graph.tensors[node.output].shape
        crop = self.builder.slice(whole, 2, py, py + height)
        self.finish(node, self.builder.slice(crop, 3, px, px + width))

    def correlation(self, node: Node) -> None:
        if all(self.graph.tensors[name].dtype == "int8" for name in node.inputs):
            first, second = (self.stored(name) for name in node.inputs)
            zero = self.builder.constant(128, "uint8")

            def multiply(a: str, b: str) -> str:
                return self.builder.add("MatMulInteger", a, b, zero, zero)
        else:
            first, second = (self.int32(name) for name in node.inputs)
            zero = self.builder.constant(0, "int32")

            def multiply(a: str, b: str) -> str:
                return self.builder.add("MatMul", a, b)

        band = correlation_band(self.builder, node, self.graph, first, second, zero, multiply)
        values = node.attributes
        self.requantise(node, [(band, values["multiplier"], 0)])

    def warp(self, node: Node) -> None:
        """Four taps of each pixel from a table of pixels with a border of zeros.

        The table holds q + b >= 0 (b is 128 or 2^15) also in its border. The four weights add up
        to 2^(2F), so the sums are larger by b * 2^(2F): non-negative, and by b after the shift.
        """
        add, constant, sizes = self.builder.add, self.builder.constant, self.builder.sizes
        feature, offset = node.inputs
        batch, height, width, channels = self.graph.tensors[feature].shape
        dtype = self.graph.tensors[feature].dtype
        fraction = offset_fraction_bits(height, width)
        wide, bias = ("int32" if dtype == "int8" else "int64"), BIAS[dtype]
        steps = self.requantised(
            [(self.stored(offset), node.attributes["offset_multiplier"], 0)],
            node.attributes["offset_shift"] - fraction,
            *LIMITS["int16"],
            "int16",
        )
        steps = self.builder.cast(steps, "int32")
        columns, column_weights = self.taps(steps, 0, width, fraction)
        rows, row_weights = self.taps(steps, 1, height, fraction)
        rows = add("Mul", rows, constant(width + 2, "int32"))
        pixels = add("Add", add("Unsqueeze", rows, sizes(2)), add("Unsqueeze", columns, sizes(1)))
        first = np.arange(batch).reshape(-1, 1, 1, 1, 1) * (height + 2) * (width + 2)
        pixels = add("Add", pixels, constant(first, "int32"))
        weights = add(
            "Mul",
            add("Unsqueeze", row_weights, sizes(2, 5)),
            add("Unsqueeze", column_weights, sizes(1, 5)),
        )
        table = self.stored(feature)
        if dtype != "int8":
            table = add("Add", self.builder.cast(table, "int32"), constant(bias, "int32"))
        zero = constant(bias, "uint8" if dtype == "int8" else "int32")
        table = add("Pad", table, sizes(0, 0, 1, 1, 0, 0, 1, 1), zero)
        table = add("Transpose", table, perm=[0, 2, 3, 1])
        table = add("Reshape", table, sizes(batch * (height + 2) * (width + 2), channels))
        taps = self.builder.cast(add("Gather", table, pixels, axis=0), wide)
        if dtype != "int8":
            weights = self.builder.cast(weights, wide)
        total = add("ReduceSum", add("Mul", taps, weights), sizes(1, 2), keepdims=0)
        half = 1 << (2 * fraction) >> 1
        total = self.shift(add("Add", total, constant(half, wide)), 2 * fraction, f"u{wide}")
        total = add("Transpose", total, perm=[0, 3, 1, 2])
        if dtype != "int8":
            total = add("Sub", self.builder.cast(total, wide), constant(bias, wide))
        self.builder.cast(
            total, "uint8" if dtype == "int8" else dtype, output=self.stored(node.output)
        )

    def taps(self, steps: str, axis: int, size: int, fraction: int) -> tuple[str, str]:
        """Positions in the bordered table and weights of both neighbours: (N, 2, H, W) int32."""
        add, constant = self.builder.add, self.builder.constant
        # 2^15 makes X non-negative, whatever the offset; it is a multiple of 2^F.
        position = (np.arange(size) << fraction) + (1 << 15)
        position = position.reshape((1, 1, 1, -1) if axis == 0 else (1, 1, -1, 1))
        total = add(
            "Add", self.builder.slice(steps, 1, axis, axis + 1), constant(position, "int32")
        )
        one = constant(1 << fraction, "int32")
        whole = add("Div", total, one)
        right = add("Sub", total, add("Mul", whole, one))
        weights = add("Concat", add("Sub", one, right), right, axis=1)
        border = np.array([1, 2]).reshape(1, 2, 1, 1) - ((1 << 15) >> fraction)
        places = add("Add", whole, constant(border, "int32"))
        limits = constant(0, "int32"), constant(size + 1, "int32")
        return add("Clip", places, *limits), weights

    def rescale(self, node: Node) -> None:
        values, name = node.attributes, node.inputs[0]
        summand = (self.stored(name), values["multiplier"], self.offset(name))
        self.requantise(node, [summand])

    def add(self, node: Node) -> None:
        values = node.attributes
        summands = [
            (self.stored(name), values[key], self.offset(name))
            for name, key in zip(node.inputs, ("multiplier_a", "multiplier_b"), strict=True)
        ]
        self.requantise(node, summands)

    def concat(self, node: Node) -> None:
        inputs = [self.stored(name) for name in node.inputs]
        axis = NCHW_AXIS[node.attributes["axis"]]
        self.builder.add("Concat", *inputs, output=self.stored(node.output), axis=axis)

    def slice(self, node: Node) -> None:
        values = node.attributes
        self.builder.slice(
            self.stored(node.inputs[0]),
            NCHW_AXIS[values["axis"]],
            values["start"],
            values["stop"],
            output=self.stored(node.output),
        )

    def convolution(self, name: str, weight: np.ndarray, **geometry: Any) -> str:
        """int32 sums of a tensor of the program with int8 weights (O, I, kh, kw).

        An int16 tensor is convolved as its high and its low byte.
        """
        builder = self.builder
        kernel = builder.constant(weight.astype(np.int64) + 128, "uint8")
        middle = builder.constant(128, "uint8")
        geometry = {key: list(v) if isinstance(v, tuple) else v for key, v in geometry.items()}
        if self.graph.tensors[name].dtype == "int8":
            return builder.add("ConvInteger", self.stored(name), kernel, middle, middle, **geometry)
        high, low = self.split_bytes(name)
        coarse = builder.add("ConvInteger", high, kernel, middle, middle, **geometry)
        coarse = builder.add("Mul", coarse, builder.constant(256, "int32"))
        zero = builder.constant(0, "uint8")
        return builder.add(
            "Add", coarse, builder.add("ConvInteger", low, kernel, zero, middle, **geometry)
        )

    def split_bytes(self, name: str) -> tuple[str, str]:
        """High and low byte of an int16 tensor as uint8, the high one larger by 128."""
        if name not in self.halves:
            builder = self.builder
            size = builder.constant(256, "int32")
            positive = builder.add("Add", self.int32(name), builder.constant(1 << 15, "int32"))
            high = builder.add("Div", positive, size)
            low = builder.add("Sub", positive, builder.add("Mul", high, size))
            self.halves[name] = builder.cast(high, "uint8"), builder.cast(low, "uint8")
        return self.halves[name]

    def int32(self, name: str) -> str:
        """A tensor of the program as int32, without an offset."""
        wide = self.builder.cast(self.stored(name), "int32")
        if not self.offset(name):
            return wide
        return self.builder.add("Sub", wide, self.builder.constant(self.offset(name), "int32"))

    def finish(self, node: Node, accumulator: str) -> None:
        """Bias, residual and requantisation of a convolution: one rounding."""
        values = node.attributes
        summands: list[Summand] = [(accumulator, values["multiplier"], -values["bias"])]
        if len(node.inputs) == 2:
            residual = node.inputs[1]
            multiplier = values["residual_multiplier"]
            summands.append((self.stored(residual), multiplier, self.offset(residual)))
        self.requantise(node, summands)

    def requantise(self, node: Node, summands: Sequence[Summand]) -> None:
        """``requantised`` with a node's shift, limits and output."""
        values, name = node.attributes, node.output
        dtype = self.graph.tensors[name].dtype
        self.requantised(
            summands, values["shift"], values["lo"], values["hi"], dtype, self.stored(name)
        )

    def requantised(
        self,
        summands: Sequence[Summand],
        shift: Any,
        lo: int,
        hi: int,
        dtype: str,
        output: str | None = None,
    ) -> str:
        """``clamp((sum((tensor - offset) * multiplier) + 2^(s-1)) >> s, lo, hi)`` in int64.

        What is constant is one number b for each channel: the offsets, the half, and ``K << s``,
        with K = 128 for int8, which is the offset of its stored tensor, 2^15 for int16 and 2^31
        for int32 or the most that int64 can hold. So the sum is non-negative wherever the result
        is above lo, and the lower clamp comes before the shift.

        Args:
            summands: (tensor, multiplier, offset), the latter two a value or one per channel.
            shift: 1..47, a value or one per channel.
            dtype: of the result; int8 is stored as uint8, larger by 128.
        """
        add, constant = self.builder.add, self.builder.constant
        s = np.asarray(shift, np.int64)
        lift = np.minimum(BIAS[dtype], np.int64(1) << (62 - s))
        fixed = (np.int64(1) << (s - 1)) + (lift << s)
        total = ""
        for tensor, multiplier, offset in summands:
            factor = np.asarray(multiplier, np.int64)
            fixed = fixed - factor * np.asarray(offset, np.int64)
            product = self.builder.cast(tensor, "int64")
            product = add("Mul", product, constant(nchw(factor), "int64"))
            total = add("Add", total, product) if total else product
        total = add("Add", total, constant(nchw(fixed), "int64"))
        lowest = np.maximum(lo + lift, 0) << s
        total = add("Max", total, constant(nchw(lowest), "int64"))
        total = self.shift(total, s, "uint64")
        if dtype == "int8":
            total = add("Min", total, constant(hi + 128, "uint64"))
            return self.builder.cast(total, "uint8", output)
        total = add("Sub", self.builder.cast(total, "int64"), constant(nchw(lift), "int64"))
        total = add("Min", total, constant(hi, "int64"))
        return self.builder.cast(total, dtype, output)

    def shift(self, value: str, bits: Any, dtype: str) -> str:
        """A non-negative tensor, shifted to the right as the unsigned type ``dtype``."""
        amount = self.builder.constant(nchw(np.asarray(bits)), dtype)
        value = self.builder.cast(value, dtype)
        return self.builder.add("BitShift", value, amount, direction="RIGHT")
