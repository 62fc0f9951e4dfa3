"""The converted convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.arithmetic.kernels import Geometry
from horizon.quantization.fuse import call_fused_add
from horizon.quantization.layers.conv_geometry import Border
from horizon.quantization.layers.converted import QuantizedLayer, bits_of, scale_of
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor


class QuantizedConv(QuantizedLayer):
    """Convolution or transposed convolution, bias, residual, requantisation, clamp.

    Args:
        weight: int8 in torch's order. bias: int32 (O,).
        multiplier, shift: int64 (O,); residual_multiplier, and both negative multipliers, which
            hold for sums below zero: the same or None.
        scale: of the output, () or (O,).
        bits, low, high: of the output.
        input_bits: of the input.
        border: what is put around the input.
    """

    weight: Tensor
    bias: Tensor
    multiplier: Tensor
    shift: Tensor
    residual_multiplier: Tensor | None
    negative_multiplier: Tensor | None
    negative_residual_multiplier: Tensor | None
    _packed: tuple[list[tuple[int, int] | None], native.Convolution] | None = None
    _ranges: list[tuple[int, int]] | None = None

    def __init__(
        self,
        layer: str,
        weight: Tensor,
        bias: Tensor,
        geometry: Geometry,
        multiplier: Tensor,
        shift: Tensor,
        residual_multiplier: Tensor | None,
        scale: Tensor,
        bits: int,
        low: int,
        high: int,
        input_bits: int,
        conv_operand: int | None = None,
        negative_multiplier: Tensor | None = None,
        negative_residual_multiplier: Tensor | None = None,
        border: Border | None = None,
    ) -> None:
        super().__init__(layer)
        self.geometry, self.bits, self.low, self.high = geometry, bits, low, high
        self.input_bits, self.conv_operand, self.border = input_bits, conv_operand, border
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("multiplier", multiplier)
        self.register_buffer("shift", shift)
        self.register_buffer("residual_multiplier", residual_multiplier)
        self.register_buffer("negative_multiplier", negative_multiplier)
        self.register_buffer("negative_residual_multiplier", negative_residual_multiplier)
        self.register_buffer("scale", scale)

    def forward(self, x: QTensor, residual: QTensor | None = None) -> QTensor:
        if x.bits != self.input_bits:
            raise InputError(
                f"{self.layer}: converted for an int{self.input_bits} input, found int{x.bits}"
            )
        if self.border is not None:
            x = self.border(x)
        other = None if residual is None else residual.integers()
        kernel = self._on_cpu if x.device.type == "cpu" else self._on_gpu
        values = kernel(x.integers(), other)
        inputs = [x] if residual is None else [x, residual]
        op = "conv_transpose2d" if self.geometry.transposed else "conv2d"
        return self.emit(op, inputs, values, self.scale, self.bits)

    def _on_cpu(self, x: Tensor, other: Tensor | None) -> Tensor:
        constants = (self.weight, self.bias, self.multiplier, self.shift, self.residual_multiplier)
        slopes = (self.negative_multiplier, self.negative_residual_multiplier)
        # torch counts the changes of a tensor: packed constants of old values are of no use.
        state = [
            None if t is None or t.is_inference() else (t.data_ptr(), t._version)
            for t in (*constants, *slopes)
        ]
        packed = self._packed
        if packed is None or packed[0] != state:
            limits = (self.low, self.high, self.input_bits)
            packed = state, native.Convolution(self.geometry, *constants, *limits, *slopes)
            self._packed = packed  # at once: other threads may run this layer
        return packed[1](x, other, DTYPES[self.bits])

    def _on_gpu(self, x: Tensor, other: Tensor | None) -> Tensor:
        """In floating point, which is exact here; works on a CPU as well."""
        if self._ranges is None:
            largest = -LIMITS[self.input_bits][0]
            self._ranges = kernels.channel_groups(self.weight, self.geometry, largest)
        step = torch.ldexp(torch.ones_like(self.shift, dtype=torch.float64), -self.shift)
        second, third = self.residual_multiplier, self.negative_multiplier
        fourth = self.negative_residual_multiplier
        weight = self.weight.float() if self._ranges else self.weight.double()
        return kernels.requantize(
            kernels.accumulate(x, weight, self.geometry, self._ranges),
            self.bias,
            self.multiplier * step,
            self.low,
            self.high,
            DTYPES[self.bits],
            other,
            None if other is None or second is None else second * step,
            None if third is None else third * step,
            None if other is None or fourth is None else fourth * step,
        )

    def add(self, *operands: QTensor) -> QTensor:
        result: QTensor = call_fused_add(self, operands, self.conv_operand)
        return result

    def attributes(self) -> dict[str, Any]:
        """The attributes of its node (weights to output channels first, channels last)."""
        g = self.geometry
        ordered = g.order.outputs_first(self.weight).permute(0, 2, 3, 1)
        found: dict[str, Any] = {
            "weight": ordered.contiguous().cpu().numpy(),
            "bias": self.bias.cpu().numpy(),
            "stride": g.stride,
            "padding": g.padding,
            "multiplier": self.multiplier.cpu().numpy(),
            "shift": self.shift.cpu().numpy(),
            "lo": self.low,
            "hi": self.high,
        }
        if not g.transposed:
            found["dilation"] = g.dilation
        if not g.transposed or g.groups > 1:
            found["groups"] = g.groups
        if g.output_padding != (0, 0):
            found["output_padding"] = g.output_padding
        if g.end != g.padding:
            found["end_padding"] = g.end
        if self.residual_multiplier is not None:
            found["residual_multiplier"] = self.residual_multiplier.cpu().numpy()
        if self.negative_multiplier is not None:
            found["negative_multiplier"] = self.negative_multiplier.cpu().numpy()
        if self.negative_residual_multiplier is not None:
            below = self.negative_residual_multiplier.cpu().numpy()
            found["negative_residual_multiplier"] = below
        return found


def convolution_of(node: Node, graph: Graph) -> QuantizedConv:
    """The converted layer of a node."""
    a = node.attributes
    transposed = node.op == "conv_transpose2d"
    geometry = Geometry(
        transposed,
        tuple(a["stride"]),
        tuple(a["padding"]),
        (1, 1) if transposed else tuple(a["dilation"]),
        int(a.get("groups", 1)),
        tuple(a["end_padding"]) if "end_padding" in a else None,
        tuple(a.get("output_padding", (0, 0))),
    )
    ordered = torch.from_numpy(np.ascontiguousarray(a["weight"])).permute(0, 3, 1, 2)
    weight = geometry.order.of_outputs_first(ordered).contiguous()
    output = graph.tensors[node.output]

    def column(name: str) -> Tensor | None:
        values = a.get(name)
        return None if values is None else torch.from_numpy(np.array(values, dtype=np.int64))

    return QuantizedConv(
        node.name,
        weight,
        torch.from_numpy(np.array(a["bias"], dtype=np.int32)),
        geometry,
        torch.from_numpy(np.array(a["multiplier"], dtype=np.int64)),
        torch.from_numpy(np.array(a["shift"], dtype=np.int64)),
        column("residual_multiplier"),
        scale_of(output),
        bits_of(output),
        int(a["lo"]),
        int(a["hi"]),
        bits_of(graph.tensors[node.inputs[0]]),
        None,
        column("negative_multiplier"),
        column("negative_residual_multiplier"),
    )
