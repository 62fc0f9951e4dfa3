"""What both convolutions share: bias, residual and clamp in one rounding, weights, limits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import LIMITS, prove_no_overflow, requantize_sum
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import (
    check_multiplier,
    check_shift,
    checked_accumulator,
    problem,
)
from horizon.hbir.operators.operator import MAP_LIMITS, NARROW, Operator, Products, T

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport

ATTRIBUTES = {
    "weight": "int8 array",
    "bias": "int32 array",
    "stride": "pair",
    "padding": "pair",
    "multiplier": "int64 array",
    "shift": "int64 array",
    "lo": "int",
    "hi": "int",
}
RESIDUAL = ("residual_multiplier", "negative_residual_multiplier")
LIMIT_NAMES = (
    "kernel",
    "stride",
    "input_channels",
    "output_channels",
    "weights_per_output",
    *MAP_LIMITS,
)


def dense(weight: np.ndarray, groups: int) -> np.ndarray:
    """Weights (O, kh, kw, I / groups) as those that read all inputs: zeros between the groups."""
    outputs, kh, kw, inputs = weight.shape
    whole = np.zeros((groups, outputs // groups, kh, kw, groups, inputs), weight.dtype)
    for group, part in enumerate(np.split(weight, groups)):
        whole[group, :, :, :, group] = part
    return whole.reshape(outputs, kh, kw, groups * inputs)


class Convolution(Operator):
    """``y = clamp((acc * M [+ residual * Mr] + 2^(s-1)) >> s, lo, hi)``.

    With two slopes, M and Mr are others where ``acc * M [+ residual * Mr]`` is negative.

    Inputs: x (N, H, W, I), and a residual of the output's shape if ``residual_multiplier`` is
    there. The proof bounds the sums of magnitudes by 2^28, so that float64 matrix products are
    exact in whatever order they add.
    """

    required: ClassVar[Mapping[str, str]] = ATTRIBUTES
    optional: ClassVar[Mapping[str, str]] = {
        "residual_multiplier": "int64 array",
        "negative_multiplier": "int64 array",
        "negative_residual_multiplier": "int64 array",
    }
    input_types = (NARROW,)
    input_count = (1, 2)
    instruction = "conv"
    products = Products.WEIGHTS
    columns: ClassVar[Mapping[str, str]] = {
        "bias": "bias",
        "multiplier": "multiplier",
        "residual_multiplier": "residual_multiplier",
        "shift": "shift",
        "negative_multiplier": "negative_multiplier",
        "negative_residual_multiplier": "negative_residual_multiplier",
    }
    slopes: ClassVar[Mapping[str, str]] = {
        "multiplier": "negative_multiplier",
        "residual_multiplier": "negative_residual_multiplier",
    }
    limits: ClassVar[tuple[str, ...]] = LIMIT_NAMES
    typed_inputs = 1
    whole_note = "all inputs of the pixels that one output pixel sees, and weights of 16 outputs"

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        batch, height, width, channels = inputs[0].shape
        weight = node.attributes["weight"]
        if weight.ndim != 4 or 0 in weight.shape:
            raise problem(node, f"weight has shape {weight.shape}", "(O, kh, kw, I), not empty")
        self._check_geometry(node, channels)
        size = [self.side(node, side, axis) for axis, side in enumerate((height, width))]
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
        residual = inputs[1] if len(inputs) == 2 else np.zeros((), np.int64)
        first, second = (values.get(name, 0) for name in self.slopes)
        below = self.below(node)
        return requantize_sum(
            acc,
            first,
            residual,
            second,
            values["shift"],
            values["lo"],
            values["hi"],
            None if below is None else (below[0], below[1] if below[1:] else 0),
        )

    @abstractmethod
    def _check_geometry(self, node: Node, channels: int) -> None: ...

    def _check_groups(self, node: Node, channels: int) -> None:
        """The groups divide outputs and inputs, and weights are for the inputs of one."""
        weight, groups = node.attributes["weight"], int(node.attributes.get("groups", 1))
        outputs = weight.shape[0]
        if groups < 1 or outputs % groups or channels % groups:
            raise problem(
                node, f"groups {groups}", f"a divisor of {channels} inputs and {outputs} outputs"
            )
        if weight.shape[3] * groups != channels:
            raise problem(
                node,
                f"weight of shape {weight.shape} in {groups} groups",
                f"(O, kh, kw, {channels // groups}) for {channels} input channels",
            )

    @abstractmethod
    def side(self, node: Node, side: int, axis: int) -> int:
        """Rows (axis 0) or columns (axis 1) of the output for ``side`` of the input."""

    @abstractmethod
    def _accumulate(self, node: Node, x: np.ndarray) -> np.ndarray:
        """Sums of products (N, H', W', O), float64, without the bias."""

    @abstractmethod
    def _rows(self, node: Node, axis: int, out: tuple[T, T]) -> tuple[T, T]:
        """The rows (axis 0) or columns of the input that those of the output need."""

    @abstractmethod
    def _pad(self, node: Node, axis: int, begin: int, source: int) -> int:
        """The padding of a part of the input, from ``source``, to a part of the output."""

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        if operand == 1 or axis == 0:
            return out
        return None if axis == 3 else self._rows(node, axis - 1, out)

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        values = node.attributes
        _, kh, kw, _ = values["weight"].shape
        pad = tuple(self._pad(node, axis, out[1 + axis], starts[0][1 + axis]) for axis in (0, 1))
        return {"kernel": (kh, kw), "stride": values["stride"], "pad": pad}

    def channels_read(self, node: Node, shapes: Sequence[Shape]) -> int:
        return int(node.attributes["weight"].shape[3])

    def limit_values(
        self, node: Node, shapes: Sequence[Shape], output: Shape
    ) -> dict[str, tuple[int, str]]:
        _, kh, kw, inputs = node.attributes["weight"].shape
        values = {
            "weights_per_output": (kh * kw * inputs, f"{kh * kw * inputs:,} ({kh}x{kw}x{inputs})"),
            "kernel": (max(kh, kw), f"{kh}x{kw}"),
        }
        for name in ("stride", "dilation"):
            if name in node.attributes:
                y, x = node.attributes[name]
                values[name] = (max(y, x), f"{y}x{x}")
        return super().limit_values(node, shapes, output) | values

    def folded(self, node: Node) -> Node:
        """Without a residual that is multiplied by 0, and without a second slope like the first."""
        values, inputs = dict(node.attributes), node.inputs
        residual = [name for name in RESIDUAL if name in values]
        if residual and not any(values[name].any() for name in residual):
            inputs = inputs[:1]
            for name in residual:
                del values[name]
        pairs = [(above, below) for above, below in self.slopes.items() if below in values]
        if all(np.array_equal(values[above], values[below]) for above, below in pairs):
            for _, below in pairs:
                del values[below]
        return Node(node.op, node.name, inputs, node.output, values)

    def finish_integer_onnx(self, node: Node, export: IntegerExport, accumulator: str) -> None:
        """Bias, residual and requantisation: one rounding."""
        values = node.attributes
        summands = [(accumulator, values["multiplier"], -values["bias"])]
        if len(node.inputs) == 2:
            summands.append(export.summand(node.inputs[1], values["residual_multiplier"]))
        export.requantise(node, summands, self.below(node))
