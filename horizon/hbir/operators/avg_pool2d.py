"""Average pooling: windows of a given size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT, LIMITS, requantize
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import (
    check_multiplier,
    check_pairs,
    check_shift,
    checked_accumulator,
    problem,
)
from horizon.hbir.operators.operator import MAP_LIMITS, NARROW, Operator, T
from horizon.hbir.operators.pool_windows import (
    PoolWindows,
    divided_ratios,
    end_padding,
    output_side,
    shape_of,
)
from horizon.hbir.operators.windows import pad_of_part, rows_read
from horizon.isa.bounds import MAX_STEP

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class AveragePool(Operator):
    """``y = clamp((sum of the window * M_n + 2^(s_n-1)) >> s_n, lo, hi)``.

    ``multiplier`` and ``shift`` are the ratio of one element, the input's step over the output's;
    M_n and s_n are that ratio divided by n, the number of the window's elements.
    """

    input_types = (NARROW,)
    input_count = (1, 1)
    instruction = "avg_pool"
    entry_per_channel = False
    limits: ClassVar[tuple[str, ...]] = ("kernel", "stride", "input_channels", *MAP_LIMITS)
    kernel_remedy = "average twice: first over windows of at most {limit}x{limit}"
    whole_note = "a window has to fit the memory; pool twice, by smaller windows"

    @abstractmethod
    def windows(self, node: Node, shape: Shape) -> PoolWindows:
        """The windows on an input of this shape. Raises InputError where there are none."""

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        return shape_of(self.windows(node, inputs[0].shape), inputs[0].shape)

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        check_multiplier(node, "multiplier", output.shape[3])
        check_shift(node, "shift", output.shape[3])
        windows = self.windows(node, inputs[0].shape)
        if max(*windows.kernel, *windows.stride) > MAX_STEP:
            found = f"windows of {windows.kernel}, {windows.stride} apart"
            raise problem(node, found, f"sides of at most {MAX_STEP}; pool twice: smaller windows")
        bound = windows.largest * -LIMITS[inputs[0].dtype][0]
        if bound >= ACCUMULATOR_LIMIT:
            found = f"the sum of a window of {windows.largest:,} elements can reach {bound:,}"
            limit = f"less than 2^28 = {ACCUMULATOR_LIMIT:,}"
            raise problem(node, found, f"{limit}; pool an int8 tensor, or twice: smaller windows")
        self._ratios(node, windows.divisors().reshape(-1))

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        (x,), values = inputs, node.attributes
        windows = self.windows(node, x.shape)
        total = checked_accumulator(node, _sums(_sums(x, 1, windows), 2, windows))
        divisors = windows.divisors()
        ratios = self._ratios(node, divisors.reshape(-1))
        multiplier, shift = (each.reshape(*divisors.shape, 1) for each in ratios)
        return requantize(total, multiplier, shift, values["lo"], values["hi"])

    def _ratios(self, node: Node, divisors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        where = f"layer {node.name} ({node.op}), windows of one number of elements each"
        values = node.attributes
        return divided_ratios(values["multiplier"], values["shift"], divisors, where)

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        if axis in (0, 3):
            return out
        windows, place = self.windows(node, shapes[0]), axis - 1
        return rows_read(out, windows.kernel[place], windows.stride[place], windows.padding[place])

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        windows = self.windows(node, shapes[0])
        pad = tuple(
            pad_of_part(
                out[1 + axis], starts[0][1 + axis], windows.stride[axis], windows.padding[axis]
            )
            for axis in (0, 1)
        )
        several = len(np.unique(windows.divisors())) > 1
        return {
            "kernel": windows.kernel,
            "stride": windows.stride,
            "pad": pad,
            "margin": windows.margin if several else (0, 0),
        }

    def table(self, node: Node, shapes: Sequence[Shape]) -> dict[str, Any]:
        """An entry for each number of elements, the smallest first, or one for all windows."""
        divisors = np.unique(self.windows(node, shapes[0]).divisors())
        multiplier, shift = self._ratios(node, divisors)
        several = {"count": divisors} if len(divisors) > 1 else {}
        return {"multiplier": multiplier, "shift": shift, **several}

    def limit_values(
        self, node: Node, shapes: Sequence[Shape], output: Shape
    ) -> dict[str, tuple[int, str]]:
        windows = self.windows(node, shapes[0])
        own = {
            name: (max(pair), "x".join(map(str, pair)))
            for name, pair in (("kernel", windows.kernel), ("stride", windows.stride))
        }
        return super().limit_values(node, shapes, output) | own

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        values, windows = node.attributes, self.windows(node, source.shape)
        one = windows.kernel == (1, 1) and windows.stride == (1, 1) and windows.divisor in (0, 1)
        within = values["lo"] <= low and high <= values["hi"]
        same = source.dtype == output.dtype and values["multiplier"] == 1 << values["shift"]
        return one and within and same

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        (name,), builder = node.inputs, export.builder
        batch, _, _, channels = shape = export.tensors[name].shape
        windows = self.windows(node, shape)
        if windows.tiles:
            (rows, columns), (kh, kw) = windows.size, windows.kernel
            sides = builder.sizes(batch, channels, rows, kh, columns, kw)
            total = builder.add("Reshape", export.int32(name), sides)
            total = builder.add("ReduceSum", total, builder.sizes(3, 5), keepdims=0)
        else:
            ones = np.ones((channels, 1, *windows.kernel), np.int8)
            total = export.convolution(
                name, ones, group=channels, strides=windows.stride, pads=end_padding(windows)
            )
        multiplier, shift = self._maps(node, windows)
        values, stored = node.attributes, export.stored(node.output)
        dtype = export.tensors[node.output].dtype
        summand = (total, multiplier, 0)
        export.requantised([summand], shift, values["lo"], values["hi"], dtype, stored)

    def _maps(self, node: Node, windows: PoolWindows) -> tuple[np.ndarray, np.ndarray]:
        """M_n and s_n of each window, (1, 1, rows, columns) or () where all are the same."""
        divisors = windows.divisors()
        multiplier, shift = self._ratios(node, divisors.reshape(-1))
        if (divisors == divisors[0, 0]).all():
            return multiplier[0], shift[0]
        return multiplier.reshape(1, 1, *divisors.shape), shift.reshape(1, 1, *divisors.shape)

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        """AveragePool, where what it divides by is what is wanted; else its quotient put right."""
        (name,), builder = node.inputs, export.builder
        windows = self.windows(node, export.tensors[name].shape)
        pads = end_padding(windows)
        padded = int(windows.margin > (0, 0) or windows.divisor > 0)
        total = builder.add(
            "AveragePool",
            export.real(name),
            kernel_shape=list(windows.kernel),
            strides=list(windows.stride),
            pads=pads,
            count_include_pad=padded,
        )
        if padded and (windows.divisors() != np.prod(windows.kernel)).any():
            quotient = float(np.prod(windows.kernel)) / windows.divisors()
            quotient = quotient.reshape(1, 1, *windows.size)
            total = builder.add("Mul", total, builder.constant(quotient, "float32"))
        ratio = export.ratio(node, node.attributes["multiplier"])
        export.finish(node, export.times(total, ratio / export.scales(name)), {})


def _sums(x: np.ndarray, axis: int, windows: PoolWindows) -> np.ndarray:
    """Sums along the rows (axis 1) or columns (axis 2) of the windows; outside of the map is 0."""
    kernel, stride, padding, count = (
        pair[axis - 1] for pair in (windows.kernel, windows.stride, windows.padding, windows.size)
    )
    widths = [(0, 0)] * 4
    widths[axis] = padding, count * stride + kernel  # enough for every window
    padded = np.moveaxis(np.pad(x, widths), axis, 0)
    taps = (padded[tap : tap + (count - 1) * stride + 1 : stride] for tap in range(kernel))
    return np.moveaxis(np.asarray(sum(taps)), 0, axis)


class AvgPool2d(AveragePool):
    """Windows of ``kernel`` every ``stride``, as torch has them; ``ceil``: a last one beyond.

    What is outside of the input is 0. ``include_pad`` (0 or 1): whether padding counts as elements;
    what a last window has beyond it never does. A ``divisor`` other than 0 divides all sums.
    """

    name = "avg_pool2d"
    required: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("kernel", "stride", "padding"), "pair"),
        **dict.fromkeys(("ceil", "include_pad", "divisor"), "int"),
        **dict.fromkeys(("multiplier", "shift", "lo", "hi"), "int"),
    }

    def windows(self, node: Node, shape: Shape) -> PoolWindows:
        values = node.attributes
        check_pairs(node, kernel=1, stride=1, padding=0)
        for flag in ("ceil", "include_pad"):
            if values[flag] not in (0, 1):
                raise problem(node, f"{flag} {values[flag]}", "0 or 1")
        if values["divisor"] < 0:
            raise problem(node, f"divisor {values['divisor']}", "0, or a positive number")
        kernel, stride, padding = (values[key] for key in ("kernel", "stride", "padding"))
        for side, pad in zip(kernel, padding, strict=True):
            if pad > side // 2:
                raise problem(node, f"padding {pad}", f"at most half of kernel {side}")
        _, height, width, _ = shape
        rows, columns = (
            output_side(side, kernel[axis], stride[axis], padding[axis], values["ceil"])
            for axis, side in enumerate((height, width))
        )
        if min(rows, columns) < 1:
            raise problem(node, f"output of size {(rows, columns)}", "at least one pixel")
        margin = padding if values["include_pad"] else (0, 0)
        divisor = values["divisor"]
        return PoolWindows(
            (height, width), kernel, stride, padding, (rows, columns), margin, divisor
        )
