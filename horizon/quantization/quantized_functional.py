"""The converted addition, concatenation and multiplication by a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.nn.functional import Functional
from horizon.quantization import kernels, native
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor, same_scale
from horizon.quantization.quantized import QuantizedLayer, QuantizedRescale, ratio_tensor


class QuantizedFunctional(QuantizedLayer, Functional):
    """The converted form of one addition, concatenation or multiplication by a number.

    Args:
        operation: "add", "cat" or "mul_scalar".
        ratios: add: multipliers and the shift (Ma, Mb, s).
        rescales: cat: per input a :class:`QuantizedRescale`, or None where it goes in as it is.
        limits: of a sum; those of its type unless given.
    """

    def __init__(
        self,
        layer: str,
        operation: str,
        scale: Tensor | None = None,
        bits: int = 8,
        ratios: tuple[int, int, int] | None = None,
        rescales: Sequence[QuantizedRescale | None] = (),
        limits: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(layer)
        self.low, self.high = limits or LIMITS[bits]
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
            return self._cat(*operands)
        first, second = operands
        assert self.ratios is not None
        assert self.scale is not None
        limits, dtype = (self.low, self.high), DTYPES[self.bits]
        if first.device.type == "cpu":
            operands = first.integers(), second.integers()
            values = native.add(*operands, self.ratios, limits, dtype)
        else:
            ma, mb, shift = self.ratios
            values = kernels.requantize(
                [first.values],
                None,
                ratio_tensor((ma, shift), first.device),
                *limits,
                dtype,
                second.values,
                ratio_tensor((mb, shift), first.device),
            )
        return self.emit("add", [first, second], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        if self.ratios is None:
            return {"axis": 3}
        ma, mb, shift = self.ratios
        return {
            "multiplier_a": ma,
            "multiplier_b": mb,
            "shift": shift,
            "lo": self.low,
            "hi": self.high,
        }

    def _cat(self, tensors: list[QTensor], dim: int) -> QTensor:
        check_cat(self.layer, dim)
        inputs = [rescale(t) for rescale, t in zip(self.rescales, tensors, strict=True)]
        parts = [t.values for t in inputs]
        on_cpu = parts[0].device.type == "cpu"
        values = native.concatenate(parts, 1) if on_cpu else torch.cat(parts, dim=1)
        scale = joined_scale(inputs)
        return self.emit("concat", inputs, values, scale, inputs[0].bits)


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
