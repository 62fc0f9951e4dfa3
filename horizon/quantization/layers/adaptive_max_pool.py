"""Max pooling to a given size, and the largest number of rows, columns or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.isa.bounds import MAX_STEP
from horizon.quantization.layers.channel_max import ChannelMax
from horizon.quantization.layers.max_pool import Pair, QuantizedMaxPool2d, pair, pooled
from horizon.quantization.layers.prepared import QATLayer, refuse_plain
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor

OPERATOR = "adaptive_max_pool2d"


class QATAdaptiveMaxPool2d(QATLayer):
    """The integers stay as they are, and so does the scale, per channel too."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, nn.AdaptiveMaxPool2d)
        if source.return_indices:
            raise InputError(f"{layer}: return_indices has no fixed-point form; leave it out")
        given = source.output_size
        self.output_size = tuple(given) if isinstance(given, Sequence) else (given, given)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        (x,) = inputs
        refuse_plain(layer, x)
        cls(source, qconfig, layer).size(x)
        return x.scale, x.bits

    def size(self, x: QTensor) -> Pair:
        """Rows and columns of the output. Raises InputError where windows would differ."""
        sides = tuple(x.shape[-2:])
        rows, columns = (
            side if n is None else int(n) for n, side in zip(self.output_size, sides, strict=True)
        )
        if min(rows, columns) < 1 or sides[0] % rows or sides[1] % columns:
            raise InputError(
                f"{self.layer}: a map of {sides[0]} x {sides[1]} pooled to {rows} x {columns}; "
                "expected sizes that divide the map, so that all windows are equal: choose such a "
                "size, pad or resize the map before, or use nn.MaxPool2d"
            )
        if max(sides[0] // rows, sides[1] // columns) > MAX_STEP:
            raise InputError(
                f"{self.layer}: windows of {sides[0] // rows} x {sides[1] // columns}; expected at "
                f"most {MAX_STEP} rows and columns: pool twice, first over smaller windows "
                "(nn.MaxPool2d)"
            )
        return rows, columns

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        size = self.size(x)
        if self.exact:
            result: QTensor = self.lowered(x, size)(x)
            return result
        kernel = x.shape[-2] // size[0], x.shape[-1] // size[1]
        return replace(x, values=pooled(x.values, kernel, kernel, (0, 0), False))

    def lower(self, x: QTensor, size: Pair) -> QuantizedAdaptiveMaxPool2d:
        return QuantizedAdaptiveMaxPool2d(self.layer, size)


class QuantizedAdaptiveMaxPool2d(QuantizedMaxPool2d):
    """The converted max pooling, whose windows follow the map."""

    operator = OPERATOR

    def __init__(self, layer: str, size: Pair) -> None:
        super().__init__(layer, (1, 1), (1, 1), (0, 0), False)
        self.size = size

    def forward(self, x: QTensor) -> QTensor:
        self.kernel = self.stride = x.shape[-2] // self.size[0], x.shape[-1] // self.size[1]
        return super().forward(x)

    def attributes(self) -> dict[str, Any]:
        return {"size": self.size}


def adaptive_max_of(node: Node, graph: Graph) -> QuantizedAdaptiveMaxPool2d:
    """The converted layer of a node."""
    return QuantizedAdaptiveMaxPool2d(node.name, pair(node.attributes["size"]))


def _bound(kind: str, input: Any, size: tuple[int | None, int | None]) -> Bound:
    return Bound(kind, size, lambda: nn.AdaptiveMaxPool2d(size), (input,))


def bind_adaptive_max(input: Any, output_size: Any, return_indices: bool = False) -> Bound:
    """``F.adaptive_max_pool2d`` as a layer."""
    if return_indices:
        raise InputError("torch.adaptive_max_pool2d: return_indices has no fixed-point form")
    size = output_size if isinstance(output_size, list | tuple) else (output_size, output_size)
    rows, columns = (None if n is None else int(n) for n in size)
    return _bound(OPERATOR, input, (rows, columns))


def bind_amax(input: Any, dim: Any = (), keepdim: bool = False) -> Bound:
    """``torch.amax`` over rows, columns or both, or over the channels, as a layer."""
    dims = [dim] if isinstance(dim, int) else list(dim)
    axes = {d + 4 if d < 0 else d for d in dims}
    if axes == {1} and keepdim:
        return Bound("amax_channels", (), ChannelMax, (input,))
    if not axes or axes - {2, 3} or not keepdim:
        raise InputError(
            f"torch.amax(dim={dim}, keepdim={keepdim}) of a quantised tensor: only over rows (2) "
            "and columns (3), or over channels (1), with keepdim=True; for anything else take the "
            "CPU, behind a DeQuantStub"
        )
    rows, columns = (1 if side in axes else None for side in (2, 3))
    return _bound("amax", input, (rows, columns))


TWIN = Twin(
    (nn.AdaptiveMaxPool2d,),
    QATAdaptiveMaxPool2d,
    {OPERATOR: adaptive_max_of},
    {
        functional.adaptive_max_pool2d: bind_adaptive_max,
        **dict.fromkeys((torch.amax, torch.Tensor.amax), bind_amax),
    },
)
