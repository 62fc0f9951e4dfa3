"""Converted layers: integer constants, integer tensors in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization import kernels
from horizon.quantization.fuse import call_fused_add
from horizon.quantization.kernels import Geometry
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor, same_scale


class QuantizedLayer(nn.Module):
    """Takes and gives integers; ``layer`` is its name in the network."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer

    def emit(
        self,
        op: str,
        inputs: Sequence[QTensor],
        values: Tensor,
        scale: Tensor,
        bits: int,
        attributes: dict[str, Any],
    ) -> QTensor:
        """The result; where a program is being recorded, a node of it as well."""
        result = QTensor(values, scale, bits)
        tracer = inputs[0].tracer
        if tracer is None:
            return result
        return tracer.record(op, self.layer, list(inputs), result, attributes)


class QuantizedConv(QuantizedLayer):
    """Convolution or transposed convolution, bias, residual, requantisation, clamp.

    Args:
        weight: int8 in torch's order. bias: int32 (O,).
        multiplier, shift: int64 (O,); residual_multiplier: the same or None.
        scale: of the output, () or (O,).
        bits, low, high: of the output.
        input_bits: of the input.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor

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
    ) -> None:
        super().__init__(layer)
        self.geometry, self.bits, self.low, self.high = geometry, bits, low, high
        self.input_bits, self.conv_operand = input_bits, conv_operand
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("multiplier", multiplier)
        self.register_buffer("shift", shift)
        self.register_buffer("residual_multiplier", residual_multiplier)
        self.register_buffer("scale", scale)
        self.ranges = kernels.channel_groups(weight, geometry, -LIMITS[input_bits][0])
        floating = weight.float() if self.ranges else weight.double()
        self.register_buffer("_weight", floating, persistent=False)
        step = torch.ldexp(torch.ones_like(shift, dtype=torch.float64), -shift)
        self.register_buffer("_ratio", multiplier.double() * step, persistent=False)
        if residual_multiplier is not None:
            residual = residual_multiplier.double() * step
            self.register_buffer("_residual_ratio", residual, persistent=False)

    def forward(self, x: QTensor, residual: QTensor | None = None) -> QTensor:
        if x.bits != self.input_bits:
            raise InputError(
                f"{self.layer}: converted for an int{self.input_bits} input, found int{x.bits}"
            )
        parts = kernels.accumulate(x.values, self._weight, self.geometry, self.ranges)
        values = kernels.requantize(
            parts,
            self.bias,
            self._ratio,
            self.low,
            self.high,
            DTYPES[self.bits],
            None if residual is None else residual.values,
            None if residual is None else self._residual_ratio,
        )
        inputs = [x] if residual is None else [x, residual]
        op = "conv_transpose2d" if self.geometry.transposed else "conv2d"
        return self.emit(op, inputs, values, self.scale, self.bits, self.attributes())

    def add(self, *operands: QTensor) -> QTensor:
        result: QTensor = call_fused_add(self, operands)
        return result

    def attributes(self) -> dict[str, Any]:
        """The attributes of its node (weights to output channels first, channels last)."""
        g = self.geometry
        order = (1, 2, 3, 0) if g.transposed else (0, 2, 3, 1)
        found: dict[str, Any] = {
            "weight": self.weight.permute(order).contiguous().cpu().numpy(),
            "bias": self.bias.cpu().numpy(),
            "stride": g.stride,
            "padding": g.padding,
            "multiplier": self.multiplier.cpu().numpy(),
            "shift": self.shift.cpu().numpy(),
            "lo": self.low,
            "hi": self.high,
        }
        if not g.transposed:
            found |= {"dilation": g.dilation, "groups": g.groups}
        if self.residual_multiplier is not None:
            found["residual_multiplier"] = self.residual_multiplier.cpu().numpy()
        return found


class QuantizedCorrelation(QuantizedLayer):
    def __init__(
        self,
        layer: str,
        max_displacement: int,
        ratio: tuple[int, int],
        scale: Tensor,
        bits: int,
        low: int,
        high: int,
    ) -> None:
        super().__init__(layer)
        self.max_displacement, self.ratio = max_displacement, ratio
        self.bits, self.low, self.high = bits, low, high
        self.register_buffer("scale", scale)

    def forward(self, first: QTensor, second: QTensor) -> QTensor:
        sums = kernels.correlate(first.values, second.values, self.max_displacement)
        ratio = ratio_tensor(self.ratio, sums.device)
        values = kernels.requantize([sums], None, ratio, self.low, self.high, DTYPES[self.bits])
        attributes = {
            "max_displacement": self.max_displacement,
            "multiplier": self.ratio[0],
            "shift": self.ratio[1],
            "lo": self.low,
            "hi": self.high,
        }
        inputs = [first, second]
        return self.emit("correlation", inputs, values, self.scale, self.bits, attributes)


class QuantizedGridSample(QuantizedLayer):
    """``ratio``: from the offset's step to pixels, as multiplier and shift."""

    def __init__(self, layer: str, ratio: tuple[int, int]) -> None:
        super().__init__(layer)
        self.ratio = ratio

    def forward(self, feature: QTensor, offset: QTensor) -> QTensor:
        height, width = feature.shape[-2:]
        multiplier, shift = self.ratio
        places = kernels.requantize_offset(offset.values, multiplier * 2.0**-shift, (height, width))
        values = kernels.warp(feature.values, places)
        scale = feature.one_scale(self.layer)
        attributes = {"offset_multiplier": multiplier, "offset_shift": shift}
        return self.emit("warp", [feature, offset], values, scale, feature.bits, attributes)


class QuantizedRescale(QuantizedLayer):
    """One input to another scale; a ReLU alone is a ratio of 1 and a lower limit of 0."""

    def __init__(
        self, layer: str, ratio: tuple[int, int], scale: Tensor, bits: int, low: int, high: int
    ) -> None:
        super().__init__(layer)
        self.ratio, self.bits, self.low, self.high = ratio, bits, low, high
        self.register_buffer("scale", scale)

    def forward(self, x: QTensor) -> QTensor:
        ratio = ratio_tensor(self.ratio, x.device)
        values = kernels.requantize([x.values], None, ratio, self.low, self.high, DTYPES[self.bits])
        multiplier, shift = self.ratio
        attributes = {"multiplier": multiplier, "shift": shift, "lo": self.low, "hi": self.high}
        return self.emit("rescale", [x], values, self.scale, self.bits, attributes)


class QuantizedFunctional(QuantizedLayer):
    """The converted form of one addition, concatenation or multiplication by a number.

    Args:
        operation: "add", "cat" or "mul_scalar".
        ratios: add: multipliers and the shift (Ma, Mb, s).
        rescales: cat: per input a :class:`QuantizedRescale`, or None where it goes in as it is.
    """

    def __init__(
        self,
        layer: str,
        operation: str,
        scale: Tensor | None = None,
        bits: int = 8,
        ratios: tuple[int, int, int] | None = None,
        rescales: Sequence[QuantizedRescale | None] = (),
    ) -> None:
        super().__init__(layer)
        self.operation, self.bits, self.ratios = operation, bits, ratios
        self.register_buffer("scale", scale)
        self.rescales = nn.ModuleList(nn.Identity() if r is None else r for r in rescales)

    def forward(self, operation: str, *operands: Any) -> QTensor:
        if operation != self.operation:
            raise InputError(
                f"{self.layer}: converted as {self.operation!r} and called as {operation!r}; every "
                "place needs a FloatFunctional of its own"
            )
        if operation == "mul_scalar":
            return scaled(operands[0], operands[1])
        if operation == "cat":
            return self._cat(operands[0])
        first, second = operands
        assert self.ratios is not None
        assert self.scale is not None
        ma, mb, shift = self.ratios
        low, high = LIMITS[self.bits]
        values = kernels.requantize(
            [first.values],
            None,
            ratio_tensor((ma, shift), first.device),
            low,
            high,
            DTYPES[self.bits],
            second.values,
            ratio_tensor((mb, shift), first.device),
        )
        attributes = {
            "multiplier_a": ma,
            "multiplier_b": mb,
            "shift": shift,
            "lo": low,
            "hi": high,
        }
        return self.emit("add", [first, second], values, self.scale, self.bits, attributes)

    def _cat(self, tensors: list[QTensor]) -> QTensor:
        inputs = [rescale(t) for rescale, t in zip(self.rescales, tensors, strict=True)]
        values = torch.cat([t.values for t in inputs], dim=1)
        scale = joined_scale(inputs)
        return self.emit("concat", inputs, values, scale, inputs[0].bits, {"axis": 3})

    def add(self, x: QTensor, y: QTensor) -> QTensor:
        return self("add", x, y)

    def cat(self, tensors: Sequence[QTensor], dim: int = 1) -> QTensor:
        check_cat(self.layer, dim)
        return self("cat", list(tensors))

    def mul_scalar(self, x: QTensor, factor: float) -> QTensor:
        return self("mul_scalar", x, factor)


class QuantizedStub(QuantizedLayer):
    """Real numbers to integers: ``clamp(floor(x / scale + 0.5))``."""

    def __init__(self, layer: str, scale: Tensor, bits: int) -> None:
        super().__init__(layer)
        self.bits = bits
        self.register_buffer("scale", scale)
        self.tracer: Any = None

    def forward(self, x: Tensor) -> QTensor:
        low, high = LIMITS[self.bits]
        steps = (x.float() / self.scale + 0.5).floor_().clamp_(low, high)
        result = QTensor(steps.to(DTYPES[self.bits]), self.scale, self.bits)
        return result if self.tracer is None else self.tracer.add_input(result)


class QuantizedDeStub(QuantizedLayer):
    """Integers to real numbers: the end of the fixed-point part."""

    def forward(self, x: QTensor) -> Tensor:
        if x.tracer is not None:
            x.tracer.add_output(x)
        return x.dequantize()


def scaled(x: QTensor, factor: float) -> QTensor:
    """``x * factor``: the same integers with another scale."""
    if not factor > 0:
        raise InputError(f"multiplication of a quantised tensor by {factor}: expected above 0")
    if x.scale is None:
        return replace(x, values=x.values * factor)
    return replace(x, scale=x.scale * factor)


def joined_scale(tensors: Sequence[QTensor]) -> Tensor:
    """The scale of a channel concatenation: () where all agree, otherwise (C,)."""
    first = tensors[0].scale
    assert first is not None
    if not first.dim() and all(same_scale(t.scale, first) for t in tensors):
        return first
    return torch.cat([t.channel_scale() for t in tensors])


def check_cat(layer: str, dim: int) -> None:
    if dim not in (1, -3):
        raise InputError(f"{layer}: cat along axis {dim}; expected 1, the channels")


def ratio_tensor(ratio: tuple[int, int], device: torch.device) -> Tensor:
    multiplier, shift = ratio
    return torch.tensor(multiplier * 2.0**-shift, dtype=torch.float64, device=device)
