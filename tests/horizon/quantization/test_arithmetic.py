"""Arithmetic on one quantised tensor in networks with stubs: every stage, every executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from horizon.hbir import Graph
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    trace,
)
from horizon.quantization.layers import bound_call, prepared_form
from horizon.quantization.layers.affine import FORMS, FUNCTIONS, Affine, QATAffine
from horizon.quantization.qtensor import QTensor
from tests.horizon.quantization.executors import assert_every_executor
from tests.horizon.quantization.small_models import (
    MINMAX,
    WIDE,
    assert_all_stages,
    images,
    in_evaluation,
    in_training,
    integers,
    set_scale,
)


class Network(nn.Module):
    """A body between two convolutions, with constants of every form."""

    def __init__(self, body: Any, channels: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.a = nn.Conv2d(2, channels, 3, padding=1)
        self.body = body
        self.register_buffer("mean", torch.randn(channels, 1, 1))
        self.register_buffer("number", torch.tensor(-0.7))
        self.std = nn.Parameter(torch.rand(1, channels, 1, 1) + 0.5)
        self.gamma = nn.Parameter(torch.randn(channels, 1, 1))
        self.beta = nn.Parameter(torch.randn(channels))
        self.one = torch.full((1, 1, 1, 1), 1.5)
        self.glu = nn.GLU(1)
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        return self.dequant(self.body(self, self.a(self.quant(x))))


def in_place(net: Any, x: Any) -> Any:
    x += 0.5
    x -= net.mean
    x *= -2
    x /= net.std
    return x


CONSTANTS = {
    "x + c": lambda net, x: x + 0.3,
    "c + x": lambda net, x: 1 + x,
    "x - c": lambda net, x: x - 0.25,
    "c - x": lambda net, x: 0.75 - x,
    "x * c": lambda net, x: x * -1.5,
    "c * x": lambda net, x: -2 * x,
    "x / c": lambda net, x: x / -3,
    "-x": lambda net, x: -x,
    "by names": lambda net, x: torch.sub(torch.add(x, other=1), other=0.5).neg(),
    "rsub": lambda net, x: torch.rsub(x, 0.5),
    "buffer": lambda net, x: x + net.mean,
    "from the left": lambda net, x: net.mean - net.std * x,
    "number as a buffer": lambda net, x: x * net.number,
    "no buffer": lambda net, x: x / net.one,
    "view of a parameter": lambda net, x: x + net.beta.view(1, -1, 1, 1),
    "normalise": lambda net, x: (x - net.mean) / net.std * net.gamma + net.beta[:, None, None],
    "in place": in_place,
    "two times": lambda net, x: (x + 0.3) + (functional.relu(x) + 0.3),
    "sum of a list": lambda net, x: sum([x, functional.relu(x)]),
    "more channels": lambda net, x: x[:, :1] * net.gamma,
    "scales before and behind": lambda net, x: functional.max_pool2d((x * 3).sin() * 0.5, 2) * 4,
    "abs": lambda net, x: x.abs(),
    "abs of a difference": lambda net, x: abs(torch.abs(x - 0.2) - net.mean),
}


def every_stage(body: Any, folder: Path, size: Any = (4, 6), channels: int = 5) -> Graph:
    graph = assert_all_stages(Network(body, channels), images(2, *size))
    assert_every_executor(graph, folder)
    return graph


@pytest.mark.parametrize("body", CONSTANTS.values(), ids=CONSTANTS)
def test_constants(body: Any, tmp_path: Path) -> None:
    every_stage(body, tmp_path)


@pytest.mark.parametrize(
    ("channels", "size"), [(1, (1, 5)), (3, (7, 1)), (31, (1, 9)), (33, (3, 5))]
)
def test_constants_of_any_size(channels: int, size: Any, tmp_path: Path) -> None:
    every_stage(CONSTANTS["normalise"], tmp_path, size, channels)


REDUCTIONS = {
    "sum": lambda net, x: x.sum((2, 3), keepdim=True),
    "sum of columns": lambda net, x: torch.sum(x, dim=-1, keepdim=True),
    "sum of channels": lambda net, x: x.sum(1, keepdim=True),
    "mean of channels": lambda net, x: torch.mean(x, 1, True),
    "amax": lambda net, x: x.amax((2, 3), keepdim=True),
    "amax of rows": lambda net, x: torch.amax(x, 2, keepdim=True),
    "adaptive": lambda net, x: functional.adaptive_max_pool2d(x, (2, 3)),
    "adaptive by module": lambda net, x: nn.AdaptiveMaxPool2d((None, 1))(x),
    "area": lambda net, x: functional.interpolate(x, scale_factor=0.5, mode="area"),
    "area by size": lambda net, x: functional.interpolate(x, size=(2, 6), mode="area"),
    "area, larger": lambda net, x: functional.interpolate(x, scale_factor=2, mode="area"),
    "glu": lambda net, x: functional.glu(x[:, :4], dim=1) + net.glu(x[:, 1:5]),
    "quotient": lambda net, x: x / (x.abs() + 1),
    "constant by tensor": lambda net, x: net.mean / (x.abs() + 1),
}


@pytest.mark.parametrize("body", REDUCTIONS.values(), ids=REDUCTIONS)
def test_reductions_and_what_is_made_of_several(body: Any, tmp_path: Path) -> None:
    every_stage(body, tmp_path)
    every_stage(body, tmp_path, (2, 12), 33)


@pytest.mark.parametrize("name", ["sum", "amax", "adaptive", "mean of channels"])
def test_another_size(name: str) -> None:
    """Windows follow the map: one program is that of the network at any size."""
    model, data = Network(REDUCTIONS[name]).eval(), images(1, 4, 6)
    prepared = prepare_calibration(model, data).eval()
    prepared(data)
    finish_calibration(prepared)
    program = IntegerModel(trace(convert(prepared, data), data))
    larger = images(2, 8, 18, seed=1)
    assert torch.equal(program(larger), prepared(larger))


OPERATIONS = [(name, constant) for name in FORMS for constant in (-1.7, 0.3, "tensor")]


@pytest.mark.parametrize(("operation", "constant"), OPERATIONS)
@pytest.mark.parametrize(("bits", "config"), [(8, MINMAX), (16, WIDE), (8, WIDE), (16, MINMAX)])
def test_training_is_evaluation_and_near_the_real_result(
    operation: str, constant: Any, bits: int, config: Any
) -> None:
    shape = (2, 31, 3, 4)
    x = integers(shape, 0.03 if bits == 8 else 0.03 / 256, bits)
    generator = torch.Generator().manual_seed(1)
    tensors = [torch.randn(31, 1, 1, generator=generator)] if constant == "tensor" else []
    source = Affine(operation, (31, 31), None if tensors else constant)
    layer = QATAffine(source, config, "layer")
    scale = 0.0613 if config is MINMAX else 0.0613 / 256
    set_scale(layer, scale)
    trained, evaluated = in_training(layer, x, *tensors), in_evaluation(layer, x, *tensors)
    # In training float32 rounds sums of int16, which may cross a tie.
    differing = (trained.values.long() - evaluated.values.long()).abs().max()
    assert differing <= (0 if bits == 8 and config is MINMAX else 1)
    real = source(x.values.double() * x.scale.double(), *tensors)  # type: ignore[union-attr]
    low, high = layer.act_quant.low, layer.act_quant.high
    wanted = (real / scale).clamp(low, high)
    # The bias is a multiple of 1/127 of the input's step, which may be a whole one of int16.
    assert (evaluated.values.double() - wanted).abs().max() < (0.51 if config is MINMAX else 1.01)


def test_constants_that_train() -> None:
    """A parameter, and one that something else is made of, get the float network's gradients."""
    x = integers((1, 3, 5, 4), 0.03)
    gamma = torch.tensor([0.5, -1.0, 2.0]).view(3, 1, 1).requires_grad_()
    layer = QATAffine(Affine("mul", (3, 3)), WIDE, "layer").train()
    set_scale(layer, 0.001)
    floats = QTensor(x.values.float(), x.scale, 8)
    for factor in (gamma, gamma.exp()):
        gamma.grad = None
        out = layer(floats, factor)
        (out.values * out.scale).sum().backward()
        found = gamma.grad
        gamma.grad = None
        (x.dequantize() * (gamma if factor is gamma else gamma.exp())).sum().backward()
        torch.testing.assert_close(found, gamma.grad, rtol=1e-4, atol=1e-4)


def test_evaluation_follows_its_constant() -> None:
    layer = QATAffine(Affine("add", (1, 1)), MINMAX, "layer")
    set_scale(layer, 1.0)
    x = integers((1, 1, 2, 2), 1.0)
    for number in (3.0, 5.0, 3.0):
        found = in_evaluation(layer, x, torch.tensor(number)).values.long()
        assert torch.equal(found, (x.values.long() + int(number)).clamp(-128, 127))


def test_constants_are_trained_where_they_stand() -> None:
    prepared = prepare_qat(Network(CONSTANTS["normalise"]), images(2, 4, 6)).train()
    prepared(images(2, 4, 6)).square().sum().backward()
    for name in ("std", "gamma", "beta"):
        parameter = prepared.get_parameter(name)
        assert float(parameter.grad.abs().sum()) > 0
    assert [name for name, _ in prepared.named_parameters()].count("gamma") == 1
    state = prepared.state_dict()
    assert not [name for name in state if name.startswith("quantised") and name[-6:] == "weight"]


def test_every_function_of_an_operation_is_bound() -> None:
    x = integers((1, 2, 3, 4), 0.1)
    for name, functions in FUNCTIONS.items():
        for function in functions:
            bound = bound_call(function, (x,) if name == "neg" else (x, -2.0), {})
            assert bound is not None
            assert prepared_form(bound.source()) is QATAffine
            assert bound.source().operation == name  # type: ignore[union-attr]
    assert bound_call(torch.mul, (x, 2.0), {}) is None  # the scale changes
