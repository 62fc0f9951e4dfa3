"""Resizing by an integer factor: nearest or bilinear, up or down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import FRACTION_BITS
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import check_pairs, problem
from horizon.hbir.operators.operator import MAP_LIMITS, NARROW, Operator, T

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport

FLAGS = ("bilinear", "align_corners", "exact")


@dataclass(frozen=True)
class Places:
    """Where the rows (or columns) of an output lie in the input, in steps of 2^-fraction_bits.

    Row i is at ``clamp(floor((step * i + offset) / divisor), 0, last << fraction_bits)``.

    Attributes:
        last: the input's last row.
    """

    step: int
    offset: int
    divisor: int
    last: int
    fraction_bits: int

    def of(self, rows: np.ndarray | int) -> np.ndarray:
        """Places of rows of the output, int64."""
        rows = np.asarray(rows, np.int64)
        place = (self.step * rows + self.offset) // self.divisor
        return np.clip(place, 0, self.last << self.fraction_bits)

    def taps(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The two rows of the input, and the weight of the second in steps, int64 each."""
        place = self.of(rows)
        first = place >> self.fraction_bits
        return first, np.minimum(first + 1, self.last), place & ((1 << self.fraction_bits) - 1)


class Resize(Operator):
    """Samples of the input at evenly spaced places.

    ``up`` and ``down`` are factors (y, x), one of them 1; the output has ``floor(in * up / down)``
    rows. Flags, 0 or 1: ``bilinear`` (else nearest), with it ``align_corners``; without it
    ``exact``, torch's nearest-exact. A bilinear place has 8 fraction bits. Its four taps are
    weighted like a warp's, ``(sum + 2^15) >> 16``, so that type and scale stay.
    """

    name = "resize"
    required: ClassVar[Mapping[str, str]] = {
        "up": "pair",
        "down": "pair",
        **dict.fromkeys(FLAGS, "int"),
    }
    input_types = (NARROW,)
    input_count = (1, 1)
    instruction = "resize"
    limits = ("factor", "input_channels", *MAP_LIMITS)

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        values = node.attributes
        check_pairs(node, up=1, down=1)
        for up, down in zip(values["up"], values["down"], strict=True):
            if min(up, down) > 1:
                raise problem(node, f"factors {up} up and {down} down", "one of them 1")
        for flag in FLAGS:
            if values[flag] not in (0, 1):
                raise problem(node, f"{flag} {values[flag]}", "0 or 1")
        unused = "exact" if values["bilinear"] else "align_corners"
        if values[unused]:
            raise problem(node, f"{unused} 1 with bilinear {values['bilinear']}", "0")
        batch, height, width, channels = inputs[0].shape
        size = [resized_side(values, side, axis) for axis, side in enumerate((height, width))]
        if min(size) < 1:
            raise problem(node, f"output of size {tuple(size)}", "at least one pixel")
        return batch, size[0], size[1], channels

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        if output.dtype != inputs[0].dtype:
            raise problem(node, f"output {output.dtype}", f"the input's {inputs[0].dtype}")

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        (x,) = inputs
        rows, columns = (places(node.attributes, x.shape[1 + axis], axis) for axis in (0, 1))
        top, bottom, down = rows.taps(np.arange(resized_side(node.attributes, x.shape[1], 0)))
        left, right, along = columns.taps(np.arange(resized_side(node.attributes, x.shape[2], 1)))
        down, along = down[:, None, None], along[:, None]
        one = 1 << rows.fraction_bits
        total = np.zeros((x.shape[0], len(top), len(left), x.shape[3]), np.int64)
        for row, row_weight in ((top, one - down), (bottom, down)):
            for column, column_weight in ((left, one - along), (right, along)):
                total += x[:, row][:, :, column] * (row_weight * column_weight)
        return (total + (one * one >> 1)) >> (2 * rows.fraction_bits)

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        if axis in (0, 3):
            return out
        found = places(node.attributes, shapes[0][axis], axis - 1)
        bits = found.fraction_bits
        start, end = found.of(out[0]) >> bits, found.of(out[1] - 1) >> bits
        stop = (np.minimum(end + 1, found.last) if bits else end) + 1
        if isinstance(out[0], np.ndarray):
            return start, stop
        return int(start), int(stop)

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        """``origin``: where the part of the output begins; ``pad``: less where the input's does."""
        both = (places(node.attributes, shapes[0][1 + axis], axis) for axis in (0, 1))
        return resize_fields(*both) | {
            "origin": (out[1], out[2]),
            "pad": (-starts[0][1], -starts[0][2]),
        }

    def limit_values(
        self, node: Node, shapes: Sequence[Shape], output: Shape
    ) -> dict[str, tuple[int, str]]:
        factors = [*node.attributes["up"], *node.attributes["down"]]
        values = super().limit_values(node, shapes, output)
        return values | {"factor": (max(factors), str(max(factors)))}

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        return {*node.attributes["up"], *node.attributes["down"]} == {1}

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        """Rows and columns are gathered; what is stored with an offset keeps it.

        The weights add up to 2^16, so that the sum is larger by the offset times 2^16.
        """
        add, constant, cast = export.builder.add, export.builder.constant, export.builder.cast
        name, stored = node.inputs[0], export.stored(node.output)
        _, height, width, _ = export.tensors[name].shape
        dtype = export.tensors[name].dtype
        source = export.stored(name)
        rows, columns = (
            places(node.attributes, side, axis) for axis, side in enumerate((height, width))
        )
        taps = []
        for axis, found in enumerate((rows, columns)):
            first, second, weight = found.taps(
                np.arange(export.tensors[node.output].shape[1 + axis])
            )
            taps.append(((first, (1 << found.fraction_bits) - weight), (second, weight)))
        if not rows.fraction_bits:
            picked = add("Gather", source, constant(taps[0][0][0], "int64"), axis=2)
            add("Gather", picked, constant(taps[1][0][0], "int64"), axis=3, output=stored)
            return
        wide = "int32" if dtype == "int8" else "int64"
        lift = 0 if dtype == "int8" else export.bias(dtype)
        source = cast(source, wide)
        if lift:
            source = add("Add", source, constant(lift, wide))
        for axis, pairs in enumerate(taps):
            shape = (-1, 1) if axis == 0 else (-1,)
            parts = [
                add(
                    "Mul",
                    add("Gather", source, constant(places_, "int64"), axis=2 + axis),
                    constant(weights.reshape(shape), wide),
                )
                for places_, weights in pairs
            ]
            source = add("Add", *parts)
        bits = 2 * rows.fraction_bits
        total = export.shift(add("Add", source, constant(1 << bits >> 1, wide)), bits, f"u{wide}")
        if lift:
            total = add("Sub", cast(total, wide), constant(lift, wide))
        cast(total, "uint8" if dtype == "int8" else dtype, output=stored)

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        values, builder = node.attributes, export.builder
        batch, height, width, channels = export.tensors[node.output].shape
        _, *used, _ = export.tensors[node.inputs[0]].shape
        if not values["align_corners"]:
            # What the factor leaves over at the end is not read; without it sizes say the factor.
            factors = zip((height, width), values["down"], values["up"], strict=True)
            used = [side * down // up for side, down, up in factors]
        real = export.cropped(node.inputs[0], *used)
        mode = "linear" if values["bilinear"] else "nearest"
        centred = values["bilinear"] or values["exact"]
        corners = "half_pixel" if centred else "asymmetric"
        result = builder.add(
            "Resize",
            real,
            "",
            "",
            builder.sizes(batch, channels, height, width),
            mode=mode,
            nearest_mode="round_prefer_ceil" if values["exact"] else "floor",
            coordinate_transformation_mode="align_corners" if values["align_corners"] else corners,
        )
        export.keep(node, result)


def places(values: Mapping[str, Any], side: int, axis: int) -> Places:
    """Where the output's rows (axis 0) or columns (axis 1) lie in an input of ``side``.

    ``values`` are the operator's attributes.
    """
    up, down = values["up"][axis], values["down"][axis]
    if not values["bilinear"]:
        if values["exact"]:
            return Places(2 * down, down, 2 * up, side - 1, 0)
        return Places(down, 0, up, side - 1, 0)
    one = 1 << FRACTION_BITS
    if not values["align_corners"]:
        offset = one * (down - up) + up
        return Places(2 * one * down, offset, 2 * up, side - 1, FRACTION_BITS)
    last = resized_side(values, side, axis) - 1
    if last == 0:
        return Places(0, 0, 1, side - 1, FRACTION_BITS)
    return Places(2 * one * (side - 1), last, 2 * last, side - 1, FRACTION_BITS)


def resize_fields(rows: Places, columns: Places) -> dict[str, Any]:
    """The instruction's fields for a whole map."""
    pairs = {
        name: (getattr(rows, name), getattr(columns, name))
        for name in ("step", "offset", "divisor", "last")
    }
    return pairs | {"fraction_bits": rows.fraction_bits}


def resized_side(values: Mapping[str, Any], side: int, axis: int) -> int:
    """Rows (axis 0) or columns of the output for ``side`` of the input."""
    return int(side * values["up"][axis] // values["down"][axis])
