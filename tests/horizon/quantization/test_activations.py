"""Activations by themselves and fused: clamps and two slopes, in every stage."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.nn import Correlation, DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import QTensor, fuse_modules, get_default_qat_qconfig, prepare_qat
from horizon.quantization.fuse import FusedAdd, FusedConv, FusedCorrelation
from horizon.quantization.layers.conv import QATConv
from horizon.quantization.layers.correlation import QATCorrelation
from horizon.quantization.layers.functional import QATFunctional
from horizon.quantization.layers.rescale import QATActivation
from tests.horizon.quantization.small_models import (
    MINMAX,
    assert_all_stages,
    images,
    in_evaluation,
    in_training,
    integers,
    set_scale,
)


def prelu(channels: int, *values: float) -> nn.PReLU:
    layer = nn.PReLU(channels)
    layer.weight.data = torch.tensor(values)
    return layer


ACTS = {
    "relu": nn.ReLU(),
    "leaky": nn.LeakyReLU(0.1),
    "steep": nn.LeakyReLU(1.75),
    "falling": nn.LeakyReLU(-0.5),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.75, 0.5),
    "prelu": prelu(1, 0.3),
    "prelu of channels": prelu(5, 0.3, -0.2, 0.0, 1.5, 0.01),
}
each_act = pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())


@each_act
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_trains_and_evaluates_alike(act, residual, transposed):
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(3, 5, 4, 2, 1) if transposed else nn.Conv2d(3, 5, 3, padding=1)
    layer = QATConv(FusedConv(conv, None, act, 1 if residual else None), MINMAX, "layer")
    set_scale(layer, 0.013)
    x = integers((2, 3, 6, 7), 1 / 100)
    inputs = [x]
    if residual:
        inputs.append(integers((2, 5, *((12, 14) if transposed else (6, 7))), 0.02, seed=1))
    trained, evaluated = in_training(layer, *inputs), in_evaluation(layer, *inputs)
    assert torch.equal(trained.values.long(), evaluated.values.long())
    assert evaluated.values.dtype == torch.int8
    lowered = layer.last_lowered
    # The arithmetic of the contract, in int64.
    g = lowered.geometry
    convolve = functional.conv_transpose2d if transposed else functional.conv2d
    acc = convolve(
        x.values.double(), lowered.weight.double(), None, g.stride, g.padding
    ).long() + lowered.bias.long().view(-1, 1, 1)
    column = lambda values: values.view(-1, 1, 1)  # noqa: E731
    total = acc * column(lowered.multiplier)
    if residual:
        total += inputs[1].values.long() * column(lowered.residual_multiplier)
    if lowered.negative_multiplier is not None:
        below = acc * column(lowered.negative_multiplier)
        if residual:
            below += inputs[1].values.long() * column(lowered.negative_residual_multiplier)
        total = torch.where(total >= 0, total, below)
    half = 1 << (lowered.shift - 1)
    expected = ((total + column(half)) >> column(lowered.shift)).clamp(lowered.low, lowered.high)
    assert torch.equal(evaluated.values.long(), expected)
    assert torch.equal(
        lowered._on_gpu(x.values, *[r.values for r in inputs[1:]] or [None]), evaluated.values
    )
    # And what it stands for: the activation of the real sum, within a step.
    real = convolve(x.dequantize(), conv.weight, conv.bias, g.stride, g.padding)
    if residual:
        real = real + inputs[1].dequantize()
    low, high = -128 * 0.013, 127 * 0.013
    difference = act(real).clamp(low, high) - evaluated.dequantize()
    assert float(difference.detach().abs().max()) < 0.05


@each_act
def test_an_activation_by_itself(act):
    layer = QATActivation(act, MINMAX, "layer")
    if isinstance(act, nn.ReLU):
        pytest.skip("has a layer of its own that keeps the scale")
    set_scale(layer, 0.02)
    for scale in (0.01, [0.01, 0.02, 0.005, 0.03, 0.01]):
        x = integers((2, 5, 3, 4), scale)
        trained, evaluated = in_training(layer, x), in_evaluation(layer, x)
        assert torch.equal(trained.values.long(), evaluated.values.long())
        expected = act(x.dequantize()).clamp(-128 * 0.02, 127 * 0.02)
        torch.testing.assert_close(evaluated.dequantize(), expected, atol=0.0101, rtol=0)


@each_act
def test_a_fused_correlation_and_addition(act):
    a, b = integers((1, 3, 5, 6), 0.0517), integers((1, 3, 5, 6), 0.0391, seed=1)
    if isinstance(act, nn.PReLU) and act.num_parameters > 1:
        for make in (
            lambda: QATCorrelation(FusedCorrelation(Correlation(1), act), MINMAX, "cost"),
            lambda: QATFunctional(FusedAdd(act), MINMAX, "cost"),
        ):
            with pytest.raises(InputError, match=r"cost: one slope per channel.*nn\.PReLU\(\)"):
                make()
        return
    correlation = QATCorrelation(FusedCorrelation(Correlation(1), act), MINMAX, "cost")
    set_scale(correlation, 0.2)
    added = QATFunctional(FusedAdd(act), MINMAX, "sum")
    set_scale(added, 0.08)
    for layer, call in ((correlation, None), (added, lambda m, x, y: m.add(x, y))):
        trained = in_training(layer, a, b, call=call)
        evaluated = in_evaluation(layer, a, b, call=call)
        assert torch.equal(trained.values.long(), evaluated.values.long())
        float_form = Correlation(1) if call is None else torch.add
        real = act(float_form(a.dequantize(), b.dequantize()))
        step = float(layer.act_quant.scale)
        expected = real.clamp(-128 * step, 127 * step)
        torch.testing.assert_close(evaluated.dequantize(), expected, atol=step * 0.51, rtol=0)


def test_gradients_are_those_of_the_real_function():
    torch.manual_seed(0)
    conv, act = nn.Conv2d(3, 5, 1), prelu(5, 0.3, -0.2, 0.1, 0.9, 0.01)
    layer = QATConv(FusedConv(conv, None, act), MINMAX, "layer")
    set_scale(layer, 0.01)  # nothing is clipped
    x = integers((2, 3, 4, 5), 1 / 200)
    direction = torch.randn(2, 5, 4, 5)
    out = in_training(layer, x)
    (out.dequantize() * direction).sum().backward()
    found = act.weight.grad.clone(), conv.weight.grad.clone()
    act.zero_grad()
    conv.zero_grad()
    (act(conv(x.dequantize())) * direction).sum().backward()
    torch.testing.assert_close(found[0], act.weight.grad, atol=0.05, rtol=0.05)
    torch.testing.assert_close(found[1], conv.weight.grad, atol=0.05, rtol=0.05)


class Net(nn.Module):
    """Every place that an activation can have."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.a, self.b = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1, groups=5)
        self.a_act = self.b_act = self.alone = self.add_act = act
        self.add, self.plain = FloatFunctional(), FloatFunctional()
        self.correlation, self.correlation_act = Correlation(1), nn.LeakyReLU(0.1)
        self.last = nn.Conv2d(9, 1, 1)
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        x = self.a_act(self.a(self.quant(x)))
        y = self.b_act(self.add.add(x, self.b(x)))
        z = self.alone(y)
        cost = self.correlation_act(self.correlation(z, y))
        return self.dequant(self.last(cost))

    def fuse_model(self) -> None:
        fuse_modules(self, ["a", "a_act"])
        fuse_modules(self, ["b", "add", "b_act"])
        fuse_modules(self, ["correlation", "correlation_act"])


@each_act
@pytest.mark.parametrize("fused", [False, True])
def test_in_every_stage(act, fused):
    model = Net(act)
    if fused:
        model.b_act, model.alone = type(act)(5) if isinstance(act, nn.PReLU) else act, act
        model.fuse_model()
    graph = assert_all_stages(model, images(1, 6, 8))
    assert len(graph.nodes) == (5 if fused else 9)


class Calls(Net):
    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.slope = nn.Parameter(torch.tensor([0.3]))

    def forward(self, x: Any) -> Any:
        x = functional.leaky_relu(self.a(self.quant(x)), 0.2)
        x = functional.relu6(self.b(x))
        x = functional.prelu(self.b(x), self.slope)
        x = functional.hardtanh(self.b(x), -0.5, 0.5)
        x = self.b(x).clamp(min=0).clamp(-1, 0.9)
        return self.dequant(torch.clamp(x, max=0.8))


def test_calls_of_functions():
    graph = assert_all_stages(Calls(), images(1, 6, 8))
    names = [node.name for node in graph.nodes if node.op == "rescale"]
    assert names == [
        "quantised_leaky_relu",
        "quantised_relu6",
        "quantised_prelu",
        "quantised_clamp",
        "quantised_relu",
        "quantised_clamp_1",
        "quantised_clamp_2",
    ]


def test_an_int32_output_without_step_has_no_activation():
    from horizon.quantization import get_default_qat_out_qconfig

    with pytest.raises(InputError, match="int32 output with addition or activation needs a step"):
        QATConv(
            FusedConv(nn.Conv2d(1, 1, 1), None, nn.LeakyReLU()),
            get_default_qat_out_qconfig(),
            "last",
        )


def test_a_prelu_is_trained():
    model = nn.Sequential(QuantStub(1 / 128), nn.Conv2d(2, 4, 1), nn.PReLU(4), DeQuantStub())
    model.qconfig = get_default_qat_qconfig(observer="minmax")
    fuse_modules(model, ["1", "2"])
    prepared = prepare_qat(model, images(1, 4, 4)).train()
    assert "1.activation.slope" in prepared.state_dict()
    slope = prepared[1].activation.slope
    prepared(images(2, 6, 6)).square().sum().backward()
    assert (slope.grad != 0).all()


def test_the_clamp_of_a_type_counts_where_the_limit_lies_beyond():
    layer = QATConv(FusedConv(nn.Conv2d(1, 1, 1), None, nn.ReLU6()), MINMAX, "layer")
    set_scale(layer, 6 / 100)
    x = QTensor(torch.full((1, 1, 1, 1), 100, dtype=torch.int8), torch.tensor(1.0), 8)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    assert in_evaluation(layer, x).values.item() == 100
    set_scale(layer, 6 / 1000)
    assert in_evaluation(layer, x).values.item() == 127
