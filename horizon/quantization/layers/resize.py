"""Resizing by integer factors, nearest and bilinear, at the input's scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.hbir.operators.resize import resize_fields
from horizon.hbm import Opcode
from horizon.quantization.arithmetic import native
from horizon.quantization.arithmetic.resize import (
    BILINEAR,
    MODES,
    NEAREST,
    NEAREST_EXACT,
    Resizing,
    resize_steps,
)
from horizon.quantization.arithmetic.training import activation_dtype, round_ste
from horizon.quantization.layers.avg_pool import bind_avg_pool2d
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.prepared import QATLayer, refuse_plain
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import DTYPES, QTensor

NEAR_INTEGER = 1e-6
SIZE_ADVICE = "pad the input to a size that has one"
FACTOR_ADVICE = "resize by another factor"
AREA = "area"


class QATResize(QATLayer):
    """nn.Upsample and its kin; the scale stays, per channel too."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, nn.Upsample)
        check_mode(layer, source.mode)
        self.size, self.factor = source.size, source.scale_factor
        self.mode, self.align_corners = source.mode, bool(source.align_corners)

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        (x,) = inputs
        refuse_plain(layer, x)
        cls(source, qconfig, layer).resizing(x)
        check_bits(layer, x)
        return x.scale, x.bits

    def resizing(self, x: QTensor) -> Resizing:
        """How the layer resizes an input of this size."""
        return resizing_of(
            self.layer, x.shape[-2:], self.size, self.factor, self.mode, self.align_corners
        )

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        resizing = self.resizing(x)
        if self.exact:
            result: QTensor = self.lowered(x, resizing)(x)
            return result
        if self.in_float:
            align = self.align_corners if self.mode == BILINEAR else None
            factors = [u / d for u, d in zip(resizing.up, resizing.down, strict=True)]
            sides = zip(x.shape[-2:], resizing.down, strict=True)
            whole = all(side % down == 0 for side, down in sides)
            size = resizing.size(*x.shape[-2:]) if whole else None
            given: Any = {"size": size} if whole else {"scale_factor": factors}
            values = functional.interpolate(x.values, mode=self.mode, align_corners=align, **given)
            return replace(x, values=values)
        kind = torch.float32 if x.bits == 8 else torch.float64
        values = round_ste(resize_steps(x.values.to(kind), resizing))
        return replace(x, values=values.to(activation_dtype(x.bits, x.device)))

    def lower(self, x: QTensor, resizing: Resizing) -> QuantizedResize:
        check_bits(self.layer, x)
        return QuantizedResize(self.layer, resizing)


class QuantizedResize(QuantizedLayer):
    """The converted resizing."""

    def __init__(self, layer: str, resizing: Resizing) -> None:
        super().__init__(layer)
        self.resizing = resizing

    def forward(self, x: QTensor) -> QTensor:
        numbers = x.integers()
        size = x.shape[-2:]
        if numbers.device.type == "cpu":
            out = self.resizing.size(*size)
            fields = resize_fields(*self.resizing.places(*size))
            values = native.compute(Opcode.resize, numbers, out, fields)
        else:
            steps = resize_steps(numbers.double(), self.resizing)
            values = (steps + 0.5).floor_().to(DTYPES[x.bits])
        return self.emit("resize", [x], values, x.scale, x.bits)

    def attributes(self) -> dict[str, Any]:
        return self.resizing.attributes()


def check_mode(layer: str, mode: str) -> None:
    """InputError for a kind of interpolation that fixed point does not have."""
    if mode not in MODES:
        raise InputError(
            f"{layer}: interpolation {mode!r}; expected one of {', '.join(MODES)}, "
            "F.interpolate(mode='area'), which is an average pooling, or "
            "nn.ConvTranspose2d, which learns to interpolate"
        )


def check_bits(layer: str, x: QTensor) -> None:
    """InputError for an int32 input."""
    if x.bits == 32:
        raise InputError(
            f"{layer}: it resizes an int32 tensor; give the layer that makes it "
            "get_default_qat_qconfig(dtype='int16')"
        )


def resizing_of(
    layer: str, sides: Any, size: Any, factor: Any, mode: str, align_corners: bool
) -> Resizing:
    """The factors for an input of ``sides`` (H, W).

    Raises:
        InputError: factors that are no integers or one over an integer, or a size that is no
            multiple or divisor of the input's.
    """
    wanted = [None, None] if size is None else [int(s) for s in _both(size)]
    factors = [None, None] if factor is None else list(_both(factor))
    ups, downs = [], []
    for side, out, scale in zip(sides, wanted, factors, strict=True):
        up = down = 1
        if out is not None:
            up, down = max(out // side, 1), max(side // max(out, 1), 1)
            known = True  # some size has an integer factor
            fits = out * down == side * up and 1 in (up, down)
        else:
            if scale is None or not scale > 0:
                raise InputError(f"{layer}: neither a size nor a factor above 0; give one")
            up, down = max(round(scale), 1), max(round(1 / scale), 1)
            known = abs(scale * down - up) < NEAR_INTEGER
            fits = known and side >= down
        if not fits:
            goal = f"size {out}" if out is not None else f"factor {scale:g}"
            raise InputError(
                f"{layer}: {side} pixels resized by {goal}; expected an integer factor or one "
                f"over an integer; {SIZE_ADVICE if known else FACTOR_ADVICE}"
            )
        ups.append(up)
        downs.append(down)
    return Resizing(
        mode, (ups[0], ups[1]), (downs[0], downs[1]), mode == BILINEAR and align_corners
    )


def _both(value: Any) -> tuple[Any, Any]:
    return (value[0], value[-1]) if isinstance(value, list | tuple) else (value, value)


def bind_interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Bound:
    """``F.interpolate`` as a layer, by its factors: a size may follow that of the input."""
    if antialias:
        raise InputError("torch.interpolate(antialias=True) has no fixed-point form; leave it out")
    if mode == AREA:
        return _bind_area(input, size, scale_factor)
    check_mode("torch.interpolate", mode)
    align = bool(align_corners)
    found = resizing_of("torch.interpolate", input.shape[-2:], size, scale_factor, mode, align)
    factors = tuple(u / d for u, d in zip(found.up, found.down, strict=True))
    corners = align if mode == BILINEAR else None

    def source() -> nn.Module:
        return nn.Upsample(scale_factor=factors, mode=mode, align_corners=corners)

    return Bound("interpolate", (mode, found.up, found.down, align), source, (input,))


def _bind_area(input: Any, size: Any, scale_factor: Any) -> Bound:
    """Means over equal windows, an average pooling; nearest where the map becomes larger."""
    name = "torch.interpolate(mode='area')"
    sides = input.shape[-2:]
    found = resizing_of(name, sides, size, scale_factor, NEAREST, False)
    if max(found.down) == 1:
        return bind_interpolate(input, size, scale_factor)
    if max(found.up) > 1 or any(side % d for side, d in zip(sides, found.down, strict=True)):
        raise InputError(
            f"{name} of a map of {sides[0]} x {sides[1]}, by {_both(scale_factor or size)}; "
            "expected factors of one over an integer that divides the map, so that all windows "
            "are equal: pad the map to such a size"
        )
    return bind_avg_pool2d(input, found.down)


def resize_of(node: Node, graph: Graph) -> QuantizedResize:
    """The converted layer of a node."""
    a = node.attributes
    (uy, ux), (dy, dx) = a["up"], a["down"]
    mode = BILINEAR if a["bilinear"] else NEAREST_EXACT if a["exact"] else NEAREST
    return QuantizedResize(node.name, Resizing(mode, (uy, ux), (dy, dx), bool(a["align_corners"])))


TWIN = Twin(
    (nn.Upsample,),
    QATResize,
    {"resize": resize_of},
    dict.fromkeys((functional.interpolate, functional.upsample), bind_interpolate),
)
