"""Max pooling: the largest integer of each window, at the input's scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.hbm import Opcode
from horizon.quantization.arithmetic import native
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.prepared import QATLayer, refuse_plain
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor

Pair = tuple[int, int]


class QATMaxPool2d(QATLayer):
    """The integers stay as they are, and so does the scale, per channel too."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, nn.MaxPool2d)
        if source.return_indices:
            raise InputError(f"{layer}: return_indices has no fixed-point form; leave it out")
        if set(pair(source.dilation)) != {1}:
            raise InputError(f"{layer}: dilation {source.dilation}; expected 1")
        self.kernel, self.padding = pair(source.kernel_size), pair(source.padding)
        self.stride = pair(source.stride or source.kernel_size)
        self.ceil = bool(source.ceil_mode)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        (x,) = inputs
        refuse_plain(layer, x)
        cls(source, qconfig, layer)
        return x.scale, x.bits

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        if self.exact:
            result: QTensor = self.lowered(x)(x)
            return result
        values = pooled(x.values, self.kernel, self.stride, self.padding, self.ceil)
        return replace(x, values=values)

    def lower(self, x: QTensor) -> QuantizedMaxPool2d:
        return QuantizedMaxPool2d(self.layer, self.kernel, self.stride, self.padding, self.ceil)


class QuantizedMaxPool2d(QuantizedLayer):
    """The converted max pooling, for any type and scale."""

    operator = "max_pool2d"

    def __init__(self, layer: str, kernel: Pair, stride: Pair, padding: Pair, ceil: bool) -> None:
        super().__init__(layer)
        self.kernel, self.stride, self.padding, self.ceil = kernel, stride, padding, ceil

    def forward(self, x: QTensor) -> QTensor:
        numbers = x.integers()
        if numbers.device.type == "cpu":
            size = [
                output_side(side, k, s, p, self.ceil)
                for side, k, s, p in zip(
                    x.shape[-2:], self.kernel, self.stride, self.padding, strict=True
                )
            ]
            fields = {"kernel": self.kernel, "stride": self.stride, "pad": self.padding}
            values = native.compute(Opcode.max_pool, numbers, size, fields)
        else:
            # Every integer of the type is one of the floating-point type.
            kind = torch.float64 if x.bits == 32 else torch.float32
            found = pooled(numbers.to(kind), self.kernel, self.stride, self.padding, self.ceil)
            values = found.to(numbers.dtype)
        return self.emit(self.operator, [x], values, x.scale, x.bits)

    def attributes(self) -> dict[str, Any]:
        return {
            "kernel": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "ceil": int(self.ceil),
        }


def pooled(x: Tensor, kernel: Pair, stride: Pair, padding: Pair, ceil: bool) -> Tensor:
    """``torch.nn.functional.max_pool2d``; what is outside of ``x`` does not count."""
    return functional.max_pool2d(x, kernel, stride, padding, 1, ceil)


def output_side(side: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
    """Rows or columns of the output, as torch has it."""
    if not ceil:
        return (side + 2 * padding - kernel) // stride + 1
    size = -(-(side + 2 * padding - kernel) // stride) + 1
    # The last window begins inside of the input or its padding on the left.
    return size - ((size - 1) * stride >= side + padding)


def pair(value: Any) -> Pair:
    """One number for both axes, or (rows, columns)."""
    if isinstance(value, Sequence):
        first, last = (int(v) for v in (value if len(value) == 2 else (value[0], value[0])))
        return first, last
    return int(value), int(value)


def bind_max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Bound:
    """``F.max_pool2d`` as a layer."""
    numbers = pair(kernel_size), pair(stride or kernel_size), pair(padding), pair(dilation)
    config = (*numbers, bool(ceil_mode), bool(return_indices))

    def source() -> nn.Module:
        return nn.MaxPool2d(*numbers, return_indices=return_indices, ceil_mode=ceil_mode)

    return Bound("max_pool2d", config, source, (input,))


def max_pool_of(node: Node, graph: Graph) -> QuantizedMaxPool2d:
    """The converted layer of a node."""
    a = node.attributes
    numbers = pair(a["kernel"]), pair(a["stride"]), pair(a["padding"])
    return QuantizedMaxPool2d(node.name, *numbers, bool(a["ceil"]))


TWIN = Twin(
    (nn.MaxPool2d,),
    QATMaxPool2d,
    {"max_pool2d": max_pool_of},
    dict.fromkeys(
        (torch.max_pool2d, functional.max_pool2d, functional.max_pool2d_with_indices),
        bind_max_pool2d,
    ),
)
