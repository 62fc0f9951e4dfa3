"""Max pooling and resizing: training, evaluation and conversion on the same integers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import QTensor
from horizon.quantization.layers.max_pool import QATMaxPool2d, output_side
from horizon.quantization.layers.resize import QATResize
from tests.horizon.quantization.small_models import (
    MINMAX,
    assert_all_stages,
    images,
    in_evaluation,
    in_training,
    integers,
)

POOLS = [
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d((1, 3), (2, 1), (0, 1)),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.MaxPool2d(2, 3, ceil_mode=True),
    nn.MaxPool2d(3, 1, 1),
]


def same(layer: Any, x: QTensor) -> Tensor:
    """The integers of training and evaluation, which are the same."""
    trained, evaluated = in_training(layer, x), in_evaluation(layer, x)
    assert torch.equal(trained.values.long(), evaluated.values.long())
    assert evaluated.values.dtype == x.values.dtype
    assert evaluated.scale is x.scale
    assert evaluated.bits == x.bits
    return evaluated.values


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("shape", [(1, 1, 5, 7), (2, 33, 6, 6), (1, 3, 3, 4)])
def test_max_pooling(pool, bits, shape):
    layer = QATMaxPool2d(pool, MINMAX, "pool")
    x = integers(shape, 0.5, bits)
    x = QTensor(x.values, x.scale, bits) if bits < 32 else QTensor(x.values >> 8, x.scale, 32)
    found = same(layer, x)
    assert torch.equal(found.double(), pool(x.values.double()))
    sides = [
        output_side(side, *numbers, pool.ceil_mode)
        for side, numbers in zip(
            shape[2:], zip(layer.kernel, layer.stride, layer.padding, strict=True), strict=True
        )
    ]
    assert list(found.shape[2:]) == sides


def test_int32_keeps_every_bit():
    layer = QATMaxPool2d(nn.MaxPool2d(2), MINMAX, "pool").eval()
    values = torch.tensor([[2**31 - 1, 2**31 - 2], [-(2**31), 0]], dtype=torch.int32)
    x = QTensor(values.view(1, 1, 2, 2), torch.tensor(1.0), 32)
    assert in_evaluation(layer, x).values.item() == 2**31 - 1


def reference(x: np.ndarray, up: int, down: int, mode: str, corners: bool) -> np.ndarray:
    """Rows, then columns, by the formula of fixed_point.md in Python's integers; one rounding."""
    bits = 8 if mode == "bilinear" else 0

    def places(side: int) -> list[tuple[int, int, int]]:
        out = side * up // down
        found = []
        for i in range(out):
            if mode == "nearest":
                place = i * down // up
            elif mode == "nearest-exact":
                place = (2 * i * down + down) // (2 * up)
            elif corners:
                step = 2 * (side - 1) << bits
                place = (step * i + out - 1) // (2 * (out - 1)) if out > 1 else 0
            else:
                place = ((2 * down << bits) * i + ((down - up) << bits) + up) // (2 * up)
            place = min(max(place, 0), (side - 1) << bits)
            first = place >> bits
            found.append((first, min(first + 1, side - 1), place & ((1 << bits) - 1)))
        return found

    rows, columns = places(x.shape[2]), places(x.shape[3])
    one = 1 << bits
    result = np.zeros((*x.shape[:2], len(rows), len(columns)), np.int64)
    for (r, (y0, y1, b)), (c, (x0, x1, a)) in itertools.product(
        enumerate(rows), enumerate(columns)
    ):
        top = x[..., y0, x0] * (one - a) + x[..., y0, x1] * a
        bottom = x[..., y1, x0] * (one - a) + x[..., y1, x1] * a
        total = top * (one - b) + bottom * b
        result[..., r, c] = (total + ((1 << 2 * bits) >> 1)) >> (2 * bits)
    return result


MODES = [("nearest", None), ("nearest-exact", None), ("bilinear", False), ("bilinear", True)]


@pytest.mark.parametrize(("mode", "corners"), MODES)
@pytest.mark.parametrize("factor", [2, 3, 4, 1 / 2, 1 / 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_resizing(mode, corners, factor, bits):
    source = nn.Upsample(scale_factor=factor, mode=mode, align_corners=corners)
    layer = QATResize(source, MINMAX, "resize")
    up, down = max(round(factor), 1), max(round(1 / factor), 1)
    for shape in ((1, 1, 1 * down, 3 * down), (2, 3, 6, 9)):
        x = integers(shape, 0.5, bits)
        expected = reference(x.values.numpy().astype(np.int64), up, down, mode, bool(corners))
        found = same(layer, x)
        assert np.array_equal(found.numpy(), expected)
        # It is what torch computes, within the rounding of places and of the result.
        real = source(x.values.double())
        step = 1.0 if mode == "bilinear" else 0.0
        allowed = 0.5 * step + step * 2.0 ** (bits - 8) * 2
        assert float((real - found.double()).abs().max()) <= allowed


def test_sizes_kinds_and_axes():
    x = integers((1, 2, 4, 6), [0.5, 0.25])
    wide = QATResize(nn.UpsamplingNearest2d(size=(8, 6)), MINMAX, "r")
    assert same(wide, x).shape[2:] == (8, 6)
    mixed = QATResize(nn.Upsample(scale_factor=(2, 0.5), mode="bilinear"), MINMAX, "r")
    assert same(mixed, x).shape[2:] == (8, 3)
    assert same(QATResize(nn.UpsamplingBilinear2d(scale_factor=2), MINMAX, "r"), x).shape[3] == 12
    odd = QATResize(nn.Upsample(scale_factor=0.5), MINMAX, "r")
    assert same(odd, integers((1, 1, 5, 7), 1.0)).shape[2:] == (2, 3)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (nn.Upsample(scale_factor=1.5), r"4 pixels resized by factor 1\.5; .*integer factor"),
        (nn.Upsample(size=(6, 6)), "4 pixels resized by size 6"),
        (nn.Upsample(scale_factor=0.1), "pad the input"),
    ],
)
def test_other_factors_are_refused(source, text):
    with pytest.raises(InputError, match=f"up: .*{text}"):
        QATResize.plan(source, MINMAX, "up", integers((1, 1, 4, 4), 1.0))
    with pytest.raises(InputError, match="up: interpolation 'bicubic'"):
        QATResize(nn.Upsample(scale_factor=2, mode="bicubic"), MINMAX, "up")
    wide = integers((1, 1, 4, 4), 1.0, 32)
    with pytest.raises(InputError, match=r"up: it resizes an int32.*int16"):
        QATResize.plan(nn.Upsample(scale_factor=2), MINMAX, "up", wide)


def test_gradients_pass():
    x = integers((1, 2, 4, 4), 0.5)
    for layer in (
        QATMaxPool2d(nn.MaxPool2d(2), MINMAX, "pool"),
        QATResize(nn.Upsample(scale_factor=2, mode="bilinear"), MINMAX, "up"),
    ):
        values = x.values.float().requires_grad_()
        layer.train()(QTensor(values, x.scale, 8)).values.sum().backward()
        assert float(values.grad.sum()) == (8.0 if isinstance(layer, QATMaxPool2d) else 128.0)


class UNet(nn.Module):
    """Pooling down, resizing up to the size of what comes across: modules and functions."""

    def __init__(self, functions: bool, mode: str = "bilinear") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1)
        self.pool, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode=mode)
        self.last = nn.Conv2d(8, 1, 3, padding=1)
        self.functions, self.mode = functions, mode
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        skip = functional.relu(self.a(self.quant(x)))
        if self.functions:
            low = functional.leaky_relu(self.b(functional.max_pool2d(skip, 2)), 0.1)
            low = functional.interpolate(low, size=skip.shape[2:], mode=self.mode)
        else:
            low = self.up(functional.leaky_relu(self.b(self.pool(skip)), 0.1))
        return self.dequant(self.last(torch.cat([low, skip], 1)))


@pytest.mark.parametrize("functions", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "nearest-exact"])
def test_a_unet_in_every_stage(functions, mode):
    graph = assert_all_stages(UNet(functions, mode), images(2, 8, 12))
    assert {"max_pool2d", "resize"} <= {node.op for node in graph.nodes}
