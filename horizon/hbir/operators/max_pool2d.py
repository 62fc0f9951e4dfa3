"""Max pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import check_pairs, problem
from horizon.hbir.operators.operator import ANY, MAP_LIMITS, Operator, T
from horizon.hbir.operators.windows import pad_of_part, rows_read

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class MaxPool2d(Operator):
    """``y[n,y,x,c] = max x[n, y*sy - py + ky, x*sx - px + kx, c]`` over the taps inside.

    What is outside of the input does not count. With ``ceil`` (0 or 1) a last window that reaches
    beyond the input is there too, as long as it begins inside, as torch has it.
    """

    name = "max_pool2d"
    required: ClassVar[Mapping[str, str]] = {
        "kernel": "pair",
        "stride": "pair",
        "padding": "pair",
        "ceil": "int",
    }
    input_types = (ANY,)
    input_count = (1, 1)
    instruction = "max_pool"
    limits: ClassVar[tuple[str, ...]] = ("kernel", "stride", "input_channels", *MAP_LIMITS)
    kernel_remedy = "{count} poolings of at most {limit}x{limit}, one after the other, see as far"

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        values = node.attributes
        check_pairs(node, kernel=1, stride=1, padding=0)
        if values["ceil"] not in (0, 1):
            raise problem(node, f"ceil {values['ceil']}", "0 or 1")
        for kernel, padding in zip(values["kernel"], values["padding"], strict=True):
            if padding > kernel // 2:
                raise problem(node, f"padding {padding}", f"at most half of kernel {kernel}")
        batch, height, width, channels = inputs[0].shape
        size = [self._side(node, side, axis) for axis, side in enumerate((height, width))]
        if min(size) < 1:
            raise problem(node, f"output of size {tuple(size)}", "at least one pixel")
        return batch, size[0], size[1], channels

    def _side(self, node: Node, side: int, axis: int) -> int:
        kernel, stride, padding = (
            node.attributes[key][axis] for key in ("kernel", "stride", "padding")
        )
        if not node.attributes["ceil"]:
            return int((side + 2 * padding - kernel) // stride + 1)
        size = -(-(side + 2 * padding - kernel) // stride) + 1
        # The last window begins inside of the input or its padding on the left.
        return int(size - ((size - 1) * stride >= side + padding))

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        if output.dtype != inputs[0].dtype:
            raise problem(node, f"output {output.dtype}", f"the input's {inputs[0].dtype}")

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        (x,), values = inputs, node.attributes
        (kh, kw), (sy, sx), (py, px) = (values[key] for key in ("kernel", "stride", "padding"))
        rows, columns = (self._side(node, x.shape[1 + axis], axis) for axis in (0, 1))
        bottom, right = rows * sy + kh, columns * sx + kw  # enough for every window
        lowest = LIMITS["int32"][0]  # loses against whatever is inside
        padded = np.pad(x, ((0, 0), (py, bottom), (px, right), (0, 0)), constant_values=lowest)
        taps = [
            padded[:, ky : ky + (rows - 1) * sy + 1 : sy, kx : kx + (columns - 1) * sx + 1 : sx]
            for ky, kx in product(range(kh), range(kw))
        ]
        return np.asarray(np.max(taps, axis=0))

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        if axis in (0, 3):
            return out
        keys = ("kernel", "stride", "padding")
        return rows_read(out, *(node.attributes[key][axis - 1] for key in keys))

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        values = node.attributes
        pad = tuple(
            pad_of_part(
                out[1 + axis], starts[0][1 + axis], values["stride"][axis], values["padding"][axis]
            )
            for axis in (0, 1)
        )
        return {"kernel": values["kernel"], "stride": values["stride"], "pad": pad}

    def limit_values(
        self, node: Node, shapes: Sequence[Shape], output: Shape
    ) -> dict[str, tuple[int, str]]:
        own = {
            name: (max(node.attributes[name]), "x".join(map(str, node.attributes[name])))
            for name in ("kernel", "stride")
        }
        return super().limit_values(node, shapes, output) | own

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        values = node.attributes
        return values["kernel"] == (1, 1) and values["stride"] == (1, 1)

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        name, stored = node.inputs[0], export.stored(node.output)
        if export.tensors[name].dtype == "int8":
            values = self._onnx(node, export.tensors)
            export.builder.add("MaxPool", export.stored(name), output=stored, **values)
            return
        # MaxPool takes no wider integers: the largest of slices, along rows and then columns.
        add, builder, values = export.builder.add, export.builder, node.attributes
        (top, left, bottom, right) = self._onnx(node, export.tensors)["pads"]
        pads = builder.sizes(0, 0, top, left, 0, 0, bottom, right)
        lowest = builder.constant(LIMITS["int32"][0], "int32")
        largest = add("Pad", builder.cast(export.stored(name), "int32"), pads, lowest)
        for axis, side in enumerate(export.tensors[node.output].shape[1:3]):
            kernel, stride = values["kernel"][axis], values["stride"][axis]
            taps = [
                builder.slice(largest, 2 + axis, tap, tap + (side - 1) * stride + 1, step=stride)
                for tap in range(kernel)
            ]
            largest = add("Max", *taps)
        builder.cast(largest, export.tensors[name].dtype, output=stored)

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        real = export.real(node.inputs[0])
        largest = export.builder.add("MaxPool", real, **self._onnx(node, export.tensors))
        export.keep(node, largest)

    def _onnx(self, node: Node, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
        """ONNX's attributes; pads that reach as far as the last windows, whatever ``ceil``."""
        values = node.attributes
        ends = [
            max((out - 1) * stride + kernel - side - padding, 0)
            for out, side, kernel, stride, padding in zip(
                tensors[node.output].shape[1:3],
                tensors[node.inputs[0]].shape[1:3],
                *(values[key] for key in ("kernel", "stride", "padding")),
                strict=True,
            )
        ]
        return {
            "kernel_shape": list(values["kernel"]),
            "strides": list(values["stride"]),
            "pads": [*values["padding"], *ends],
        }
