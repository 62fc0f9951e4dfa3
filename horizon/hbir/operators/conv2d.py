"""Convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.node import Node, Shape
from horizon.hbir.operators.attributes import check_pairs
from horizon.hbir.operators.convolution import ATTRIBUTES, LIMIT_NAMES, Convolution
from horizon.hbir.operators.operator import Pair, T
from horizon.hbir.operators.windows import pad_of_part, rows_read

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


def is_depthwise(node: Node) -> bool:
    """Whether output o of a convolution reads input channel o only, which one instruction does."""
    if node.op != Conv2d.name:
        return False
    weight = node.attributes["weight"]
    return one_for_each(weight.shape[0], node.attributes.get("groups", 1), weight.shape[3])


def one_for_each(outputs: int, groups: int, inputs: int) -> bool:
    """``is_depthwise`` from numbers; ``inputs`` is the number of channels that a group reads."""
    return outputs == groups > 1 == inputs


def end_padding(node: Node) -> tuple[int, int]:
    """Zeros below and at the right."""
    values = node.attributes
    below, right = values.get("end_padding", values["padding"])
    return int(below), int(right)


class Conv2d(Convolution):
    """``acc[n,y,x,o] = bias[o] + sum w[o,ky,kx,i] * x[n,y',x',i]``.

    ``y' = y*sy - py + ky*dy``, ``x' = x*sx - px + kx*dx``. Outside of the input is 0.
    Output o reads the input channels of its group. ``padding`` is that above and at the left;
    ``end_padding``, below and at the right, is the same where it is absent.
    """

    name = "conv2d"
    required: ClassVar[Mapping[str, str]] = {**ATTRIBUTES, "dilation": "pair", "groups": "int"}
    optional: ClassVar[Mapping[str, str]] = {**Convolution.optional, "end_padding": "pair"}
    limits: ClassVar[tuple[str, ...]] = (*LIMIT_NAMES, "dilation")

    def _check_geometry(self, node: Node, channels: int) -> None:
        values = node.attributes
        check_pairs(node, stride=1, padding=0, dilation=1)
        if "end_padding" in values:
            check_pairs(node, end_padding=0)
        self._check_groups(node, channels)

    def side(self, node: Node, side: int, axis: int) -> int:
        stride, padding, dilation = (
            node.attributes[key][axis] for key in ("stride", "padding", "dilation")
        )
        reach = dilation * (node.attributes["weight"].shape[1 + axis] - 1) + 1
        return (side + padding + end_padding(node)[axis] - reach) // stride + 1

    def _accumulate(self, node: Node, x: np.ndarray) -> np.ndarray:
        values = node.attributes
        weight, groups = values["weight"].astype(np.float64), values["groups"]
        outputs, kh, kw, _ = weight.shape
        (sy, sx), (py, px), (dy, dx) = values["stride"], values["padding"], values["dilation"]
        rows, columns = (self.side(node, x.shape[1 + axis], axis) for axis in (0, 1))
        below, right = end_padding(node)
        padded = np.pad(x, ((0, 0), (py, below), (px, right), (0, 0)))
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

    def _rows(self, node: Node, axis: int, out: tuple[T, T]) -> tuple[T, T]:
        values = node.attributes
        stride, pad, dilation = (values[key][axis] for key in ("stride", "padding", "dilation"))
        return rows_read(out, values["weight"].shape[1 + axis], stride, pad, dilation)

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        if axis == 3 and is_depthwise(node):
            return out
        return super().window(node, shapes, operand, axis, out)

    def _pad(self, node: Node, axis: int, begin: int, source: int) -> int:
        stride, pad = (node.attributes[key][axis] for key in ("stride", "padding"))
        return pad_of_part(begin, source, stride, pad)

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        return super().fields(node, shapes, out, starts) | {"dilation": node.attributes["dilation"]}

    def folded(self, node: Node) -> Node:
        """Without what is equal to what it stands beside."""
        folded = super().folded(node)
        values = dict(folded.attributes)
        if values.get("end_padding") == values["padding"]:
            del values["end_padding"]
        return Node(node.op, node.name, folded.inputs, node.output, values)

    def only_pads(self, node: Node) -> tuple[Pair, Pair] | None:
        values = node.attributes
        one = values["weight"].shape[1:] == (1, 1, 1) and len(node.inputs) == 1
        if not one or values["stride"] != (1, 1) or not (values["weight"] == 1).all():
            return None
        plain = (values["bias"] == 0).all() and not self.two_slopes(node)
        exact = np.array_equal(values["multiplier"], np.left_shift(1, values["shift"]))
        widest = (values["lo"], values["hi"]) in LIMITS.values()
        if not (plain and exact and widest) or values["groups"] != len(values["weight"]):
            return None
        return values["padding"], end_padding(node)

    def padded(self, node: Node, begin: Pair, end: Pair) -> Node | None:
        ends = end_padding(node)
        top, left = node.attributes["padding"]
        padding = {
            "padding": (top + begin[0], left + begin[1]),
            "end_padding": (ends[0] + end[0], ends[1] + end[1]),
        }
        return replace(node, attributes=node.attributes | padding)

    def taps(self, node: Node) -> float:
        _, kh, kw, _ = node.attributes["weight"].shape
        return float(kh * kw)

    def macs(self, node: Node, shapes: Sequence[Shape], output: Shape) -> int:
        batch, height, width, _ = output
        return int(batch * height * width * node.attributes["weight"].size)

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        values = node.attributes
        (py, px), groups = values["padding"], values["groups"]
        accumulator = export.convolution(
            node.inputs[0],
            values["weight"].transpose(0, 3, 1, 2),
            strides=values["stride"],
            pads=(py, px, *end_padding(node)),
            dilations=values["dilation"],
            group=groups,
        )
        self.finish_integer_onnx(node, export, accumulator)

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        values = node.attributes
        (py, px), groups = values["padding"], int(values["groups"])
        export.convolution(
            node,
            "Conv",
            values["weight"].transpose(0, 3, 1, 2),
            0,
            self.slopes,
            pads=[py, px, *end_padding(node)],
            dilations=list(values["dilation"]),
            group=groups,
        )
