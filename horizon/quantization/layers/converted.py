"""What all converted layers share: integer constants, integer tensors in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir import TensorInfo
from horizon.nn.functional import Functional
from horizon.quantization.calls import next_use
from horizon.quantization.fuse import call_fused_add
from horizon.quantization.movement.rearranged import maps_of
from horizon.quantization.qtensor import LIMITS, QTensor


class QuantizedLayer(nn.Module):
    """Takes and gives integers; ``layer`` is its name in the network."""

    scale: Tensor
    elementwise = False
    """Whether each element of its inputs counts by itself, wherever it lies."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        found = maps_of(inputs) if self.elementwise else None
        if found is not None:
            x, maps = found
            return x.with_source(super().__call__(*maps, **options))
        return super().__call__(*inputs, **options)

    def run(self, inputs: list[QTensor], copies: int) -> QTensor:
        """The result for the inputs of its node, for ``copies`` of the program's batch."""
        result: QTensor = self(*inputs)
        return result

    def emit(
        self,
        op: str,
        inputs: Sequence[QTensor],
        values: Tensor,
        scale: Tensor | None,
        bits: int,
    ) -> QTensor:
        """The result; where a program is being recorded, a node of it as well."""
        result = QTensor(values, scale, bits)
        recorder = inputs[0].recorder
        if recorder is None:
            return result
        return recorder.record(op, self.layer, list(inputs), result, self.attributes())

    def attributes(self) -> dict[str, Any]:
        """The attributes of the layer's node."""
        raise TypeError(f"{type(self).__name__} is no node of a program")


class QuantizedFunctional(QuantizedLayer, Functional):
    """The converted form of one addition, multiplication or concatenation."""

    elementwise = True
    operation: str

    def forward(self, operation: str, *operands: Any) -> QTensor:
        if operation != self.operation:
            raise InputError(
                f"{self.layer}: converted as {self.operation!r} and called as {operation!r}; every "
                "place needs a FloatFunctional of its own"
            )
        return self.compute(*operands)

    def compute(self, *operands: Any) -> QTensor:
        raise NotImplementedError


class QuantizedUses(nn.Module):
    """The converted layers of a layer that runs several times in a forward pass, in order."""

    def __init__(self, layer: str, uses: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layer = layer
        self.layers = nn.ModuleList(uses)

    @property
    def uses(self) -> int:
        return len(self.layers)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        self.use = next_use(self, self.layer, self.uses)
        return super().__call__(*inputs, **options)

    def forward(self, *inputs: Any) -> Any:
        return self.layers[self.use](*inputs)

    def add(self, *operands: Any) -> Any:
        """``add`` of a FloatFunctional, or of a convolution that is fused with one."""
        first: Any = self.layers[0]
        if isinstance(first, Functional):
            return self("add", *operands)
        return call_fused_add(self, operands, first.conv_operand)

    def add_relu(self, x: Any, y: Any) -> Any:
        return self("add_relu", x, y)

    def sub(self, x: Any, y: Any) -> Any:
        return self("sub", x, y)

    def mul(self, x: Any, y: Any) -> Any:
        return self("mul", x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        return self("maximum", x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        return self("minimum", x, y)

    def cat(self, tensors: Sequence[Any], dim: int = 1) -> Any:
        return self("cat", list(tensors), dim)

    def mul_scalar(self, x: Any, factor: float) -> Any:
        return self("mul_scalar", x, factor)


def ratio_tensor(ratio: tuple[Any, Any], device: torch.device) -> Tensor:
    """``M * 2**-s`` of numbers or arrays, float64."""
    multiplier, shift = ratio
    return torch.tensor(multiplier * 2.0**-shift, dtype=torch.float64, device=device)


def bits_of(info: TensorInfo) -> int:
    """Bits of a program's tensor."""
    return next(bits for bits in LIMITS if info.dtype == f"int{bits}")


def scale_of(info: TensorInfo) -> Tensor:
    """The scale of a program's tensor, () or (C,) float32."""
    values = torch.tensor(info.scales, dtype=torch.float32)
    return values[0] if len(info.scales) == 1 else values
