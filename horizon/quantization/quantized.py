"""Converted layers: integer constants, integer tensors in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization import kernels, native
from horizon.quantization.fuse import call_fused_add
from horizon.quantization.input_range import InputWatch
from horizon.quantization.kernels import Geometry
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor


class QuantizedLayer(nn.Module):
    """Takes and gives integers; ``layer`` is its name in the network."""

    scale: Tensor

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
    ) -> QTensor:
        """The result; where a program is being recorded, a node of it as well."""
        result = QTensor(values, scale, bits)
        tracer = inputs[0].tracer
        if tracer is None:
            return result
        return tracer.record(op, self.layer, list(inputs), result, self.attributes())

    def attributes(self) -> dict[str, Any]:
        """The attributes of the layer's node."""
        raise TypeError(f"{type(self).__name__} is no node of a program")


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
    multiplier: Tensor
    shift: Tensor
    residual_multiplier: Tensor | None
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

    def forward(self, x: QTensor, residual: QTensor | None = None) -> QTensor:
        if x.bits != self.input_bits:
            raise InputError(
                f"{self.layer}: converted for an int{self.input_bits} input, found int{x.bits}"
            )
        other = None if residual is None else residual.integers()
        values = (self._on_cpu if x.device.type == "cpu" else self._on_gpu)(x.integers(), other)
        inputs = [x] if residual is None else [x, residual]
        op = "conv_transpose2d" if self.geometry.transposed else "conv2d"
        return self.emit(op, inputs, values, self.scale, self.bits)

    def _on_cpu(self, x: Tensor, other: Tensor | None) -> Tensor:
        constants = (self.weight, self.bias, self.multiplier, self.shift, self.residual_multiplier)
        # torch counts the changes of a tensor: packed constants of old values are of no use.
        state = [
            None if t is None or t.is_inference() else (t.data_ptr(), t._version) for t in constants
        ]
        packed = self._packed
        if packed is None or packed[0] != state:
            limits = (self.low, self.high, self.input_bits)
            packed = state, native.Convolution(self.geometry, *constants, *limits)
            self._packed = packed  # at once: other threads may run this layer
        return packed[1](x, other, DTYPES[self.bits])

    def _on_gpu(self, x: Tensor, other: Tensor | None) -> Tensor:
        """In floating point, which is exact here; works on a CPU as well."""
        if self._ranges is None:
            largest = -LIMITS[self.input_bits][0]
            self._ranges = kernels.channel_groups(self.weight, self.geometry, largest)
        step = torch.ldexp(torch.ones_like(self.shift, dtype=torch.float64), -self.shift)
        second = self.residual_multiplier
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
        )

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
        a, b, limits = first.integers(), second.integers(), (self.low, self.high)
        dtype = DTYPES[self.bits]
        if a.device.type == "cpu":
            values = native.correlate(a, b, self.max_displacement, self.ratio, limits, dtype)
        else:
            sums = kernels.correlate(a, b, self.max_displacement)
            ratio = ratio_tensor(self.ratio, sums.device)
            values = kernels.requantize([sums], None, ratio, *limits, dtype)
        return self.emit("correlation", [first, second], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        multiplier, shift = self.ratio
        return {
            "max_displacement": self.max_displacement,
            "multiplier": multiplier,
            "shift": shift,
            "lo": self.low,
            "hi": self.high,
        }


class QuantizedGridSample(QuantizedLayer):
    """``ratio``: from the offset's step to pixels, as multiplier and shift."""

    def __init__(self, layer: str, ratio: tuple[int, int]) -> None:
        super().__init__(layer)
        self.ratio = ratio

    def forward(self, feature: QTensor, offset: QTensor) -> QTensor:
        height, width = feature.shape[-2:]
        multiplier, shift = self.ratio
        if feature.device.type == "cpu":
            values = native.warp(feature.integers(), offset.integers(), self.ratio)
        else:
            ratio = multiplier * 2.0**-shift
            places = kernels.requantize_offset(offset.values, ratio, (height, width))
            values = kernels.warp(feature.values, places)
        scale = feature.one_scale(self.layer)
        return self.emit("warp", [feature, offset], values, scale, feature.bits)

    def attributes(self) -> dict[str, Any]:
        multiplier, shift = self.ratio
        return {"offset_multiplier": multiplier, "offset_shift": shift}


class QuantizedRescale(QuantizedLayer):
    """One input to another scale; a ReLU alone is a ratio of 1 and a lower limit of 0.

    ``ratio``: multiplier and shift, numbers or int64 arrays (C,).
    """

    def __init__(
        self, layer: str, ratio: tuple[Any, Any], scale: Tensor, bits: int, low: int, high: int
    ) -> None:
        super().__init__(layer)
        self.ratio, self.bits, self.low, self.high = ratio, bits, low, high
        self.register_buffer("scale", scale)

    def forward(self, x: QTensor) -> QTensor:
        limits, dtype = (self.low, self.high), DTYPES[self.bits]
        if x.device.type == "cpu":
            values = native.rescale(x.integers(), self.ratio, limits, dtype)
        else:
            ratio = ratio_tensor(self.ratio, x.device)
            values = kernels.requantize([x.values], None, ratio, *limits, dtype)
        return self.emit("rescale", [x], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        multiplier, shift = self.ratio
        return {"multiplier": multiplier, "shift": shift, "lo": self.low, "hi": self.high}


class QuantizedStub(QuantizedLayer):
    """Real numbers to integers: ``clamp(floor(x / scale + 0.5))``."""

    def __init__(self, layer: str, scale: Tensor, bits: int) -> None:
        super().__init__(layer)
        self.bits = bits
        self.register_buffer("scale", scale)
        self.tracer: Any = None
        self.watch = InputWatch(layer, bits)

    def forward(self, x: Tensor) -> QTensor:
        if not torch.isfinite(x).all():
            raise InputError(
                f"{self.layer}: the input holds NaN or infinite values, which no integer stands "
                "for; check the images and their normalisation"
            )
        self.watch.look(x, self.scale)
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


def ratio_tensor(ratio: tuple[Any, Any], device: torch.device) -> Tensor:
    multiplier, shift = ratio
    return torch.tensor(multiplier * 2.0**-shift, dtype=torch.float64, device=device)
