"""Transposed convolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.hbir.node import Node, Shape
from horizon.hbir.operators.attributes import check_pairs, problem
from horizon.hbir.operators.convolution import Convolution, dense
from horizon.hbir.operators.operator import T
from horizon.hbir.products import phases

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


def output_padding(node: Node) -> tuple[int, int]:
    """Rows below and columns at the right by which the output is larger than it has to be."""
    rows, columns = node.attributes.get("output_padding", (0, 0))
    return int(rows), int(columns)


class ConvTranspose2d(Convolution):
    """``acc[n, y*sy - py + ky, x*sx - px + kx, o] += w[o,ky,kx,i] * x[n,y,x,i]``, from the bias.

    Output size ``(H - 1) * sy - 2 * py + kh + ey`` with the ``output_padding`` (ey, ex), 0 where it
    is absent. Output o reads the input channels of its group; without ``groups`` there is one.
    """

    name = "conv_transpose2d"
    optional: ClassVar[Mapping[str, str]] = {
        **Convolution.optional,
        "output_padding": "pair",
        "groups": "int",
    }

    def _check_geometry(self, node: Node, channels: int) -> None:
        check_pairs(node, stride=1, padding=0)
        stride, more = node.attributes["stride"], output_padding(node)
        if not all(0 <= rows < step for rows, step in zip(more, stride, strict=True)):
            raise problem(node, f"output_padding {more}", f"less than the stride {stride}")
        self._check_groups(node, channels)

    def side(self, node: Node, side: int, axis: int) -> int:
        stride, padding = (node.attributes[key][axis] for key in ("stride", "padding"))
        size: int = node.attributes["weight"].shape[1 + axis]
        return (side - 1) * stride - 2 * padding + size + output_padding(node)[axis]

    def _accumulate(self, node: Node, x: np.ndarray) -> np.ndarray:
        values = node.attributes
        weight, groups = values["weight"].astype(np.float64), int(values.get("groups", 1))
        outputs, kh, kw, inputs = weight.shape
        (sy, sx), (py, px) = values["stride"], values["padding"]
        below, right = output_padding(node)
        batch, height, width, _ = x.shape
        pixels = x.reshape(-1, groups, inputs).transpose(1, 0, 2)
        sides = (height - 1) * sy + kh + below, (width - 1) * sx + kw + right
        whole = np.zeros((batch, *sides, outputs))
        for ky, kx in product(range(kh), range(kw)):
            matrix = weight[:, ky, kx].reshape(groups, -1, inputs).transpose(0, 2, 1)
            whole[
                :,
                ky : ky + (height - 1) * sy + 1 : sy,
                kx : kx + (width - 1) * sx + 1 : sx,
            ] += (pixels @ matrix).transpose(1, 0, 2).reshape(batch, height, width, outputs)
        rows, columns = (self.side(node, x.shape[1 + axis], axis) for axis in (0, 1))
        return whole[:, py : py + rows, px : px + columns]

    def _rows(self, node: Node, axis: int, out: tuple[T, T]) -> tuple[T, T]:
        values = node.attributes
        pad, stride = values["padding"][axis], values["stride"][axis]
        kernel = values["weight"].shape[1 + axis]
        # out = in * stride - pad + tap, for taps 0..kernel-1
        return -((kernel - 1 - out[0] - pad) // stride), (out[1] - 1 + pad) // stride + 1

    def _pad(self, node: Node, axis: int, begin: int, source: int) -> int:
        pad, stride = node.attributes["padding"][axis], node.attributes["stride"][axis]
        return int(pad + begin - source * stride)

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        return super().fields(node, shapes, out, starts) | {"transposed": True}

    def taps(self, node: Node) -> float:
        _, kh, kw, _ = node.attributes["weight"].shape
        return float(kh * kw / math.prod(node.attributes["stride"]))

    def macs(self, node: Node, shapes: Sequence[Shape], output: Shape) -> int:
        values = node.attributes
        outputs, kh, kw, inputs = values["weight"].shape
        batch, height, width, _ = output
        places = phases((height, width), (kh, kw), values["stride"], values["padding"], True)
        taps = sum(rows * columns * count for rows, columns, count in places)
        return int(batch * outputs * inputs * taps)

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        """All outputs that have the same remainder, modulo the stride, are one convolution.

        Output row ``s * q + r`` (before cropping) is ``sum_t x[q - t] * w[s * t + r]``. The s * s
        remainders become channels of one convolution with mirrored taps t, then interleaved.
        """
        values = node.attributes
        weight = values["weight"]
        outputs, *kernel, inputs = weight.shape
        (sy, sx), (py, px) = values["stride"], values["padding"]
        below, right = output_padding(node)
        ty, tx = -(-(kernel[0] + below) // sy), -(-(kernel[1] + right) // sx)
        taps = np.zeros((outputs, ty * sy, tx * sx, inputs), weight.dtype)
        taps[:, : kernel[0], : kernel[1]] = weight
        taps = taps.reshape(outputs, ty, sy, tx, sx, inputs)[:, ::-1, :, ::-1]
        taps = taps.transpose(0, 2, 4, 5, 1, 3).reshape(outputs * sy * sx, inputs, ty, tx)
        accumulator = export.convolution(
            node.inputs[0],
            taps,
            pads=(ty - 1, tx - 1, ty - 1, tx - 1),
            group=int(values.get("groups", 1)),
        )
        batch, height, width, _ = export.tensors[node.inputs[0]].shape
        rows, columns = height + ty - 1, width + tx - 1
        add, sizes = export.builder.add, export.builder.sizes
        split = add("Reshape", accumulator, sizes(batch, outputs, sy, sx, rows, columns))
        split = add("Transpose", split, perm=[0, 1, 4, 2, 5, 3])
        whole = add("Reshape", split, sizes(batch, outputs, rows * sy, columns * sx))
        _, height, width, _ = export.tensors[node.output].shape
        crop = export.builder.slice(whole, 2, py, py + height)
        self.finish_integer_onnx(node, export, export.builder.slice(crop, 3, px, px + width))

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        """Groups become zeros: their weights (I, O / groups, kh, kw) could not have a step for each
        output, as those of DequantizeLinear lie along one axis.
        """
        values = node.attributes
        py, px = values["padding"]
        weight = dense(values["weight"], int(values.get("groups", 1))).transpose(3, 0, 1, 2)
        geometry = {"pads": [py, px, py, px]}
        if any(more := output_padding(node)):
            geometry["output_padding"] = list(more)
        export.convolution(node, "ConvTranspose", weight, 1, self.slopes, **geometry)
