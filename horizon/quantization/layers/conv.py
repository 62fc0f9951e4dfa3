"""The prepared convolution.

In training the forward pass is the fixed-point arithmetic on integer-valued floats: weights of
integer steps, bias in accumulator steps, ratios rounded to multiplier and shift. What may differ
from evaluation are sums beyond 2**24 and rare ties, which float32 rounds.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir.fixed_point import prove_no_overflow
from horizon.quantization.arithmetic.kernels import convolve
from horizon.quantization.arithmetic.training import (
    activation_dtype,
    round_ste,
)
from horizon.quantization.calls import answering
from horizon.quantization.fuse import (
    FusedConv,
    call_fused_add,
    check_own_weight,
    folded_parameters,
)
from horizon.quantization.layers.activation import Activation
from horizon.quantization.layers.conv_geometry import as_in_program, border_of, geometry_of
from horizon.quantization.layers.conv_integers import QuantizedConv, convolution_of
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.twin import Twin
from horizon.quantization.moves import move
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import LIMITS, QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantize, FakeQuantState

LARGEST_WEIGHT = 127
INSIDE = 127.49
"""What rounds to the largest weight at most. Clamping there, before rounding, leaves the largest
weight of a channel its gradient."""
SMALLEST_RATIO = 2.0**-22
"""Weight steps below this part of the output's step could not matter, and would leave the range
of multipliers soon."""
LARGEST_BIAS = 2.0**26


class QATConv(QATLayer):
    """Convolution or transposed convolution with normalisation, addition, activation fused.

    Parameters: ``weight``, ``bias`` (made where there is none) and, unless folded, those of
    ``bn`` and ``activation.slope`` (of a PReLU). Buffer ``weight_clip`` (O,): the share of a
    channel's largest weight that is 127.

    Raises:
        InputError: a weight or a forward function that fixed point cannot follow.
    """

    weight_clip: Tensor
    converted: ClassVar[type[QuantizedConv]] = QuantizedConv

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        fused = source if isinstance(source, FusedConv) else FusedConv(source)
        conv: Any = fused.conv
        check_own_weight(conv, f"{layer}: cannot be quantised")
        self.geometry, self.border = geometry_of(conv, layer), border_of(conv)
        self.order = self.geometry.order
        self.weight = conv.weight
        channels = self.order.outputs(self.weight)
        self.bias = conv.bias
        if self.bias is None:
            self.bias = nn.Parameter(self.weight.new_zeros(channels))
        self.bn = fused.bn
        self.activation, self.conv_operand = Activation(fused.act), fused.conv_operand
        self.per_channel = qconfig.weight.per_channel
        self.weight_observer = qconfig.weight.observer
        self.register_buffer("weight_clip", torch.ones(channels))
        self.add_module("act_quant", FakeQuantize(qconfig.activation, layer))
        plain = self.conv_operand is None and self.activation.is_identity
        if self.act_quant.keeps_accumulators and not plain:
            raise InputError(
                f"{layer}: an int32 output with addition or activation needs a step; give "
                "get_default_qat_out_qconfig a scale"
            )
        self.train(source.training)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        refuse_plain(layer, *inputs)
        x, *residual = inputs
        if residual and isinstance(source, nn.ConvTranspose2d):
            raise InputError(
                f"{layer}: it is called with an output_size, {residual[0]}; expected the input "
                "alone: give the layer the output_padding that leads to this size"
            )
        if len(residual) > 1 or not all(isinstance(r, QTensor) for r in residual):
            raise InputError(f"{layer}: it is called with {residual}; expected the input alone")
        refuse_accumulators(layer, x, verb="takes")
        refuse_accumulators(layer, *residual)
        border = border_of(source.conv if isinstance(source, FusedConv) else source)
        if border is not None:
            with answering(move):
                border(x)  # what cannot be put around a quantised tensor is refused here
        return None, qconfig.activation.bits

    def forward(self, x: QTensor, residual: QTensor | None = None) -> QTensor:
        """(N, C, H, W), and a residual of the output's shape where an addition is fused."""
        inputs = [x] if residual is None else [x, residual]
        self.check(*inputs)
        if self.exact:
            return self.lowered(*inputs)(*inputs)
        if self.border is not None:
            x = self.border(x)
        frozen = self.fake_quant_state is FakeQuantState.VALIDATION
        if self.bn is not None and self.bn.training and self.training and not frozen:
            self._update_statistics(x)
        return self._in_float(x, residual) if self.in_float else self._train(x, residual)

    def add(self, *operands: QTensor) -> QTensor:
        result: QTensor = call_fused_add(self, operands, self.conv_operand)
        return result

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with batch normalisation in them."""
        if self.bn is None:
            return self.weight, self.bias
        return folded_parameters(self.weight, self.bias, self.bn, self.order)

    def weight_steps(
        self, weight: Tensor, bias: Tensor, in_scale: Tensor, out_scale: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Factor that turns real weights into steps, and the accumulator's scale (O,).

        ``in_scale`` is () or, per input channel, (C,): then the weights take it in before they
        are quantised.
        """
        magnitude = weight.detach()
        scale = in_scale
        if in_scale.dim():
            scale = self.order.per_input(in_scale, weight)
            magnitude = magnitude * scale
        by_output = self.order.outputs_first(magnitude)
        largest = torch.linalg.vector_norm(by_output, torch.inf, dim=(1, 2, 3))
        if not in_scale.dim():
            largest = largest * in_scale
        largest = largest * self.weight_clip
        if not self.per_channel:
            largest = largest.max().expand_as(largest)
        floor = bias.detach().abs() / LARGEST_BIAS
        if out_scale is not None:
            floor = torch.maximum(floor, out_scale.detach() * SMALLEST_RATIO)
        acc_scale = torch.maximum(largest / LARGEST_WEIGHT, floor.clamp_min(2.0**-60))
        return scale / self.order.per_output(acc_scale, weight), acc_scale

    def lower(self, x: QTensor, residual: QTensor | None = None) -> QuantizedConv:
        """The converted layer.

        Raises:
            InputError: an accumulator that could overflow, or a ratio of scales that no
                multiplier and shift represent.
        """
        weight, bias = self.folded()
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise InputError(f"{self.layer}: its weights are not finite")
        quant = self.act_quant
        assert x.scale is not None
        out = None if quant.keeps_accumulators else quant.current()
        factor, acc_scale = self.weight_steps(weight, bias, x.scale, out)
        steps = round_ste(weight * factor).clamp_(-LARGEST_WEIGHT, LARGEST_WEIGHT)
        steps = steps.to(torch.int8)
        bias_steps = round_ste(bias / acc_scale).to(torch.int32)
        ordered = self.order.outputs_first(steps)
        prove_no_overflow(
            ordered.cpu().numpy(), bias_steps.cpu().numpy(), -LIMITS[x.bits][0], self.layer
        )
        device = weight.device
        wide = acc_scale.double().cpu().numpy()
        ratios = np.ones_like(wide) if out is None else wide / float(out)
        others = None
        if residual is not None:
            refuse_accumulators(self.layer, residual)
            others = residual.channel_scale().double().cpu().numpy() / float(out)  # type: ignore[arg-type]
        first, second, below, second_below, shift = self.activation.multipliers(
            ratios, others, self.layer
        )

        def buffer(values: np.ndarray | None) -> Tensor | None:
            return None if values is None else torch.from_numpy(values).to(device)

        low, high = quant.low, quant.high
        steps, geometry = as_in_program(steps, self.geometry)
        return self.converted(
            self.layer,
            steps,
            bias_steps,
            geometry,
            torch.from_numpy(first).to(device),
            torch.from_numpy(shift).to(device),
            buffer(second),
            (acc_scale if out is None else out).detach().clone(),
            quant.bits,
            *self.activation.limits(out, low, high),
            x.bits,
            self.conv_operand,
            buffer(below),
            buffer(second_below),
            self.border,
        )

    @torch.no_grad()
    def calibrate_weights(self) -> None:
        """Find the clipping of each channel that minimises the squared error of its weights."""
        if self.weight_observer != "mse":
            return
        weight = self.order.outputs_first(self.folded()[0]).flatten(1)
        largest = weight.abs().amax(1, keepdim=True).clamp_min(2.0**-60)
        best = torch.full_like(self.weight_clip, torch.inf)
        for clip in torch.linspace(1.0, 0.5, 51).tolist():
            step = clip * largest / LARGEST_WEIGHT
            steps = round_ste(weight / step).clamp_(-LARGEST_WEIGHT, LARGEST_WEIGHT)
            error = (steps * step - weight).square().sum(1)
            better = error < best
            best = torch.where(better, error, best)
            self.weight_clip[better] = clip

    def _in_float(self, x: QTensor, residual: QTensor | None) -> QTensor:
        weight, bias = self.folded()
        if self.simulated:
            factor, _ = self.weight_steps(weight, bias, weight.new_tensor(1.0), None)
            steps = round_ste(weight * factor).clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
            weight = steps / factor
        y = convolve(x.values, weight, bias, self.geometry)
        if residual is not None:
            y = y + residual.values
        return self.real_result(self.activation(y), self.act_quant.bits)

    def _train(self, x: QTensor, residual: QTensor | None) -> QTensor:
        quant = self.act_quant
        weight, bias = self.folded()
        assert x.scale is not None
        wide = max(x.bits, quant.bits) > 8
        device = x.device.type
        enabled = torch.is_autocast_enabled(device) and not wide
        with torch.autocast(device, torch.get_autocast_dtype(device), enabled=enabled):
            out = quant.current() if quant.ready and not quant.keeps_accumulators else None
            factor, acc_scale = self.weight_steps(weight, bias, x.scale, out)
            steps = round_ste((weight * factor).clamp(-INSIDE, INSIDE))
            bias_steps = round_ste(bias / acc_scale)
            values = x.values.float() if wide else x.values
            acc = convolve(values, steps, bias_steps, self.geometry)
            if quant.keeps_accumulators:
                return QTensor(acc.float(), acc_scale, 32)
            scale = acc_scale.view(-1, 1, 1)
            if quant.follows:
                quant.follow(self._largest(acc, scale, residual))
            out = quant.current()
            other = other_ratio = None
            if residual is not None:
                other = residual.values
                other_ratio = residual.channel_scale().view(-1, 1, 1) / out
            kind = activation_dtype(quant.bits, x.device)
            limits = self.activation.limits(out, quant.low, quant.high)
            result = self.activation.requantize(acc, scale / out, limits, other, other_ratio, kind)
        return QTensor(result, out, quant.bits)

    def _largest(self, acc: Tensor, scale: Tensor, residual: QTensor | None) -> Tensor:
        """Largest |value| of the output, real, ()."""
        with torch.no_grad():
            act = self.activation
            if residual is not None or not (act.is_relu or act.is_identity):
                real = acc * scale
                if residual is not None:
                    real = real + residual.dequantize()
                return act(real).abs().max()
            largest = acc.amax((0, 2, 3)) if act.is_relu else acc.abs().amax((0, 2, 3))
            return (largest.float() * scale.flatten()).max().clamp_min(0.0)

    @torch.no_grad()
    def _update_statistics(self, x: QTensor) -> None:
        """Let batch normalisation see what the float convolution gives."""
        assert self.bn is not None
        self.bn(convolve(x.dequantize(), self.weight, self.bias, self.geometry))


TWIN = Twin(
    (FusedConv, nn.Conv2d, nn.ConvTranspose2d),
    QATConv,
    {"conv2d": convolution_of, "conv_transpose2d": convolution_of},
)
