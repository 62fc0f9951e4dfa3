"""Rescale and add, and the two that only move integers: concat and slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import requantize, requantize_sum
from horizon.hbir.operator import Operator, Shape, check_multiplier, check_shift, problem

if TYPE_CHECKING:
    from horizon.hbir.graph import Node, TensorInfo

ANY = ("int8", "int16", "int32")
LIMITS_KINDS = {"lo": "int", "hi": "int"}


class Rescale(Operator):
    """``y = clamp((x * M + 2^(s-1)) >> s, lo, hi)``; a ReLU is M 2^23, s 23, lo 0."""

    required: ClassVar[Mapping[str, str]] = {
        "multiplier": "int or int64 array",
        "shift": "int or int64 array",
        **LIMITS_KINDS,
    }
    input_types = (ANY,)
    input_count = (1, 1)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        return inputs[0].shape

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        check_multiplier(node, "multiplier", output.shape[3])
        check_shift(node, "shift", output.shape[3])

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        return requantize(
            inputs[0], values["multiplier"], values["shift"], values["lo"], values["hi"]
        )


class Add(Operator):
    """``y = clamp((a * Ma + b * Mb + 2^(s-1)) >> s, lo, hi)``, one rounding."""

    required: ClassVar[Mapping[str, str]] = {
        "multiplier_a": "int",
        "multiplier_b": "int",
        "shift": "int",
        **LIMITS_KINDS,
    }
    input_types = (ANY,)
    input_count = (2, 2)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        a, b = inputs
        if a.shape != b.shape:
            raise problem(node, f"summands of shapes {a.shape}, {b.shape}", "equal shapes")
        return a.shape

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        check_multiplier(node, "multiplier_a", output.shape[3])
        check_multiplier(node, "multiplier_b", output.shape[3])
        check_shift(node, "shift", output.shape[3])

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        values = node.attributes
        (a, b), lo, hi = inputs, values["lo"], values["hi"]
        ratios = values["multiplier_a"], values["multiplier_b"], values["shift"]
        return requantize_sum(a, ratios[0], b, *ratios[1:], lo, hi)


class Concat(Operator):
    """Join along the batch (axis 0) or the channels (axis 3); the integers stay as they are."""

    required: ClassVar[Mapping[str, str]] = {"axis": "int"}
    input_types = (ANY,)
    input_count = (1, 2**31)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        axis = _axis(node)
        shape = list(inputs[0].shape)
        for info in inputs[1:]:
            if any(shape[i] != info.shape[i] for i in range(4) if i != axis):
                raise problem(
                    node,
                    f"inputs of shapes {[i.shape for i in inputs]}",
                    f"shapes equal but for axis {axis}",
                )
        shape[axis] = sum(info.shape[axis] for info in inputs)
        batch, height, width, channels = shape
        return batch, height, width, channels

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        _same_types(node, inputs, output)

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs, axis=node.attributes["axis"])


class Slice(Operator):
    """``x[start:stop]`` along the batch (axis 0) or the channels (axis 3)."""

    required: ClassVar[Mapping[str, str]] = {"axis": "int", "start": "int", "stop": "int"}
    input_types = (ANY,)
    input_count = (1, 1)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        axis, start, stop = _axis(node), node.attributes["start"], node.attributes["stop"]
        shape = list(inputs[0].shape)
        if not 0 <= start < stop <= shape[axis]:
            raise problem(
                node, f"start {start}, stop {stop}", f"0 <= start < stop <= {shape[axis]}"
            )
        shape[axis] = stop - start
        batch, height, width, channels = shape
        return batch, height, width, channels

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        _same_types(node, inputs, output)

    def resize(self, node: Node, scale_batch: Any) -> dict[str, Any]:
        if node.attributes["axis"] != 0:
            return node.attributes
        ends = {key: scale_batch(node.attributes[key]) for key in ("start", "stop")}
        return {**node.attributes, **ends}

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        part = slice(node.attributes["start"], node.attributes["stop"])
        return inputs[0][part] if node.attributes["axis"] == 0 else inputs[0][..., part]


def _axis(node: Node) -> int:
    axis: int = node.attributes["axis"]
    if axis not in (0, 3):
        raise problem(node, f"axis {axis}", "0 (batch) or 3 (channels)")
    return axis


def _same_types(node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
    types = [info.dtype for info in inputs]
    if set(types) != {output.dtype}:
        raise problem(node, f"inputs {types} and output {output.dtype}", "one type")
