"""The prepared convolution: training against evaluation, conversion against the reference."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.nn import FloatFunctional
from horizon.quantization import (
    ActivationConfig,
    QConfig,
    QTensor,
    WeightConfig,
    convert,
    fuse_modules,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
    trace,
)
from horizon.quantization.fuse import FusedConv
from horizon.quantization.layers.conv import QATConv
from tests.horizon.quantization.small_models import (
    MINMAX,
    Single,
    assert_is_reference,
    calibrated,
    in_evaluation,
    in_training,
    integers,
    set_scale,
)

CONVOLUTIONS = {
    "1 to 3": lambda: nn.Conv2d(1, 3, 1),
    "3 to 33": lambda: nn.Conv2d(3, 33, 3, padding=1),
    "33 to 1, stride": lambda: nn.Conv2d(33, 1, 3, 2, 1),
    "no padding": lambda: nn.Conv2d(3, 3, (1, 2), bias=False),
    "groups": lambda: nn.Conv2d(33, 33, 3, padding=1, groups=3),
    "depthwise": lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3),
    "depthwise, strided": lambda: nn.Conv2d(33, 33, 5, 2, padding=2, groups=33, bias=False),
    "channel multiplier": lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3),
    "one output of a few": lambda: nn.Conv2d(6, 3, 3, padding=1, groups=3),
    "same": lambda: nn.Conv2d(3, 5, (3, 5), padding="same", dilation=(2, 1)),
    "same, even": lambda: nn.Conv2d(3, 5, (4, 3), padding="same", dilation=(1, 3)),
    "same, even, depthwise": lambda: nn.Conv2d(3, 3, 2, padding="same", groups=3),
    "valid": lambda: nn.Conv2d(3, 5, (1, 3), padding="valid"),
    "dilation": lambda: nn.Conv2d(3, 4, 3, padding=16, dilation=16),
    "wide to narrow": lambda: nn.Conv2d(65, 2, 3, padding=1),
    "transposed": lambda: nn.ConvTranspose2d(3, 33, 4, 2, 1),
    "transposed, narrow": lambda: nn.ConvTranspose2d(65, 2, 4, 2, 1),
    "transposed, no bias": lambda: nn.ConvTranspose2d(33, 1, 3, bias=False),
    "output padding": lambda: nn.ConvTranspose2d(3, 5, 3, 2, 1, output_padding=1),
    "rows of nothing": lambda: nn.ConvTranspose2d(3, 5, 1, 3, output_padding=2),
    "transposed, groups": lambda: nn.ConvTranspose2d(6, 4, 4, 2, 1, groups=2),
    "transposed, depthwise": lambda: nn.ConvTranspose2d(33, 33, 4, 2, 1, groups=33),
    "transposed, dilation": lambda: nn.ConvTranspose2d(3, 5, (2, 3), 2, 1, dilation=(3, 2)),
    "transposed, all of it": lambda: nn.ConvTranspose2d(
        6, 9, 3, (1, 2), 1, output_padding=(2, 1), groups=3, dilation=(3, 2)
    ),
}
MANY_PRODUCTS = ("33 to 1, stride", "wide to narrow", "transposed, narrow", "transposed, no bias")
"""With these an int16 input could overflow the accumulator."""
SIZES = [(1, 7), (5, 4)]
WIDE_OUT = get_default_qat_qconfig("int16", observer="minmax", qat_scale="fixed")
OUTPUTS = {"int8": MINMAX, "int16": WIDE_OUT, "int32": get_default_qat_out_qconfig()}


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    conv = CONVOLUTIONS[name]()
    if conv.bias is not None:
        nn.init.uniform_(conv.bias, -0.5, 0.5)
    return conv


def on_powers_of_two(conv: nn.Module) -> nn.Module:
    """Weights whose largest is 127 / 128 in every channel: their steps are 1 / 128."""
    with torch.no_grad():
        weight = conv.weight
        weight.copy_(torch.randint(-127, 128, weight.shape) / 128)
        weight[:, :, 0, 0] = 127 / 128
        if conv.bias is not None:
            conv.bias.copy_(torch.randint(-999, 1000, conv.bias.shape) / 2**14)
    return conv


def between_steps(conv: nn.Module) -> nn.Module:
    """Weights that steps of a 127th of the largest hit worst: clipping helps."""
    with torch.no_grad():
        conv.weight.copy_(torch.randint(0, 2, conv.weight.shape) * 129 - 64.5).div_(127)
        conv.weight[:, 0, 0, 0] = 1.0
    return conv


def differences(found: QTensor, expected: QTensor) -> torch.Tensor:
    assert torch.equal(found.scale.expand(1), expected.scale.expand(1))
    assert found.bits == expected.bits
    assert not expected.values.is_floating_point()
    return (found.values.detach().double() - expected.values.double()).abs()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_training_equals_evaluation_where_float32_is_exact(name, size):
    """Ratios that are powers of two: products are exact, ties included, and nothing differs."""
    conv = on_powers_of_two(build(name))
    layer = QATConv(conv, MINMAX, "layer")
    set_scale(layer, 2.0**-4)
    x = integers((2, conv.in_channels, *size), 2.0**-7)
    assert not differences(in_training(layer, x), in_evaluation(layer, x)).any()


@pytest.mark.parametrize(("bits", "share"), [("int8", 1e-4), ("int16", 1e-2)])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_training_differs_from_evaluation_in_rare_ties(name, bits, share):
    """A float32 product is off by 2**-24 of itself: of int8 results at most 1 in 10,000 is on
    the other side of a tie, of int16 results 1 in 100, and by one step."""
    layer = QATConv(build(name), OUTPUTS[bits], "layer")
    set_scale(layer, 0.02 if bits == "int8" else 1e-4)
    x = integers((2, CONVOLUTIONS[name]().in_channels, 40, 41), 0.0077)
    off = differences(in_training(layer, x), in_evaluation(layer, x))
    assert off.max() <= 1
    assert off.mean() <= share


def test_accumulators_of_training_are_those_of_evaluation():
    layer = QATConv(build("3 to 33"), OUTPUTS["int32"], "layer")
    x = integers((2, 3, 20, 20), 0.0077)
    found, expected = in_training(layer, x), in_evaluation(layer, x)
    assert expected.values.dtype == torch.int32
    assert torch.equal(found.scale, expected.scale)
    assert torch.equal(found.values.double(), expected.values.double())


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_training_equals_evaluation_with_residual(relu, transposed):
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(3, 5, 4, 2, 1) if transposed else nn.Conv2d(3, 5, 3, padding=1)
    layer = QATConv(
        FusedConv(on_powers_of_two(conv), None, nn.ReLU() if relu else None, 1), MINMAX, "layer"
    )
    set_scale(layer, 2.0**-4)
    x = integers((1, 3, 5, 7), 2.0**-7)
    size = (10, 14) if transposed else (5, 7)
    for bits in (8, 16):
        residual = integers((1, 5, *size), 2.0**-3, bits, seed=4)
        found, expected = in_training(layer, x, residual), in_evaluation(layer, x, residual)
        assert not differences(found, expected).any()
        assert expected.values.min() == (0 if relu else -128)
        added = layer.add(QTensor(residual.values, residual.scale, bits), x)
        assert torch.equal(added.values, expected.values)


def test_training_equals_evaluation_with_one_scale_per_input_channel():
    """A concatenation's scales go into the weights, in groups too."""
    torch.manual_seed(0)
    kinds = nn.Conv2d, nn.ConvTranspose2d
    for conv in (kind(6, 4, 3, groups=groups) for kind in kinds for groups in (1, 2)):
        layer = QATConv(conv, MINMAX, "layer")
        set_scale(layer, 0.01)
        scales = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032]
        x = integers((1, 6, 30, 30), scales)
        found, expected = in_training(layer, x), in_evaluation(layer, x)
        off = differences(found, expected)
        assert off.max() <= 1
        assert off.mean() <= 1e-4
        real = conv(x.dequantize()).clamp(-1.28, 1.27)
        assert (expected.dequantize() - real).abs().max() < 0.04


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("observer", ["minmax", "mse"])
def test_training_equals_evaluation_for_every_weight_observer(observer, per_channel):
    torch.manual_seed(0)
    conv = between_steps(nn.Conv2d(8, 4, 3, padding=1))
    config = QConfig(
        ActivationConfig(observer="minmax", qat_scale="fixed"),
        WeightConfig(observer, per_channel),
    )
    layer = QATConv(conv, config, "layer")
    layer.calibrate_weights()
    assert (layer.weight_clip < 1).any() == (observer == "mse")
    set_scale(layer, 0.01)
    x = integers((1, 8, 30, 30), 0.0077)
    off = differences(in_training(layer, x), in_evaluation(layer, x))
    assert off.max() <= 1
    assert off.mean() <= 1e-4


def test_one_scale_for_all_weights_is_the_largest_channel_s():
    conv = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, 0.1]).view(2, 1, 1, 1))
    x = integers((1, 1, 2, 2), 1.0)
    for per_channel, expected in ((True, [127, 127]), (False, [127, 13])):
        config = QConfig(MINMAX.activation, WeightConfig(per_channel=per_channel))
        layer = QATConv(conv, config, "layer")
        set_scale(layer, 1.0)
        assert layer.lower(x).weight.flatten().tolist() == expected


def test_clipping_of_weights_lowers_their_error():
    torch.manual_seed(0)
    conv = between_steps(nn.Conv2d(64, 3, 3))
    errors = {}
    for observer in ("minmax", "mse"):
        config = QConfig(MINMAX.activation, WeightConfig(observer))
        layer = QATConv(copy.deepcopy(conv), config, "layer")
        layer.calibrate_weights()
        set_scale(layer, 0.01)
        x = integers((1, 64, 4, 4), 1.0)
        lowered = layer.lower(x)
        steps = lowered.multiplier * 2.0 ** -lowered.shift.double() * 0.01
        real = lowered.weight.double() * steps.view(-1, 1, 1, 1).detach()
        errors[observer] = (real - conv.weight).square().sum((1, 2, 3))
    assert (errors["mse"] < 0.5 * errors["minmax"]).all()


# Conversion against the reference.


def sample(channels: int, size: tuple[int, int], scale: float, bits: int) -> torch.Tensor:
    return integers((2, channels, *size), scale, bits).dequantize()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_converted_equals_the_reference(name, size, output):
    conv = build(name)
    model = Single(conv, [0.0123], qconfig=OUTPUTS[output])
    x = [sample(conv.in_channels, size, 0.0123, 8)]
    graph = assert_is_reference(calibrated(model, x), x)
    assert graph.tensors["out"].dtype == output


@pytest.mark.parametrize("name", [n for n in CONVOLUTIONS if n not in MANY_PRODUCTS])
def test_an_int16_input_equals_the_reference(name):
    conv = build(name)
    model = Single(conv, [0.0001], bits=[16])
    x = [sample(conv.in_channels, (5, 4), 0.0001, 16)]
    graph = assert_is_reference(calibrated(model, x), x)
    assert graph.tensors["in0"].dtype == "int16"


class WithSum(nn.Module):
    def __init__(self, conv: nn.Module, relu: bool) -> None:
        super().__init__()
        self.conv, self.sum = conv, FloatFunctional()
        self.relu = nn.ReLU() if relu else nn.Identity()
        fuse_modules(self, ["conv", "sum", "relu"] if relu else ["conv", "sum"])

    def forward(self, x, residual):
        return self.relu(self.sum.add(residual, self.conv(x)))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("step", [None, 2.0**-12])
def test_a_residual_equals_the_reference(transposed, relu, bits, step):
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(3, 33, 4, 2, 1) if transposed else nn.Conv2d(3, 33, 3, padding=1)
    qconfig = MINMAX if step is None else get_default_qat_out_qconfig(step)
    model = Single(WithSum(conv, relu), [0.0123, 0.0071], bits=[8, bits], qconfig=qconfig)
    for stub, width in zip(model.stubs, (8, bits), strict=True):
        stub.qconfig = MINMAX if width == 8 else WIDE_OUT
    size = (2, 14) if transposed else (1, 7)
    x = [sample(3, (1, 7), 0.0123, 8), sample(33, size, 0.0071, bits)]
    graph = assert_is_reference(calibrated(model, x), x)
    (node,) = graph.nodes
    assert node.name == "layer.sum"
    assert len(node.inputs) == 2
    assert node.attributes["lo"] == (0 if relu else (-128 if step is None else -(2**31)))


@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_saturation_equals_the_reference(gain):
    """A scale far too small: most results leave int8."""
    conv = build("3 to 33")
    model = Single(conv, [1 / 128])
    x = sample(3, (5, 6), 1 / 128, 8)
    prepared = calibrated(model, [x])
    prepared.layer.act_quant.scale.mul_(gain)
    assert_is_reference(prepared, [x])
    values = prepared.layer(prepared.stubs[0](x)).values
    clipped = ((values == 127) | (values == -128)).float().mean()
    assert (clipped > 0.5) == (gain < 1)


def test_extreme_integers_equal_the_reference():
    """Every input -128 or 127, every weight -127 or 127; rounding falls on ties."""
    conv = nn.Conv2d(33, 3, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.randint(0, 2, conv.weight.shape) * 2.0 - 1)
        conv.weight[0] = -1
    model = calibrated(Single(conv, [1.0]), [torch.full((1, 33, 4, 4), -128.0)])
    set_scale(model.layer, 127 / 127 * 2.0**7)
    generator = torch.Generator().manual_seed(0)
    for x in (
        torch.full((1, 33, 4, 4), -128.0),
        torch.full((1, 33, 4, 4), 127.0),
        torch.randint(0, 2, (1, 33, 4, 4), generator=generator) * 255.0 - 128,
    ):
        graph = assert_is_reference(model, [x])
        assert abs(graph.nodes[0].attributes["weight"]).min() == 127


# Gradients.


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("residual", [False, True])
def test_gradients_are_the_float_layer_s_for_fine_steps(name, residual):
    """Weights on their grid, int16 output: straight-through gradients are the exact ones."""
    conv = on_powers_of_two(build(name))
    source = FusedConv(conv, None, None, 1 if residual else None)
    layer = QATConv(copy.deepcopy(source), WIDE_OUT, "layer")
    x = integers((1, conv.in_channels, 5, 6), 2.0**-7)
    real = x.dequantize().requires_grad_()
    shape = conv(real).shape
    other = integers(shape, 2.0**-7, seed=3)
    real_other = other.dequantize().requires_grad_()
    expected = source(real, real_other) if residual else source(real)
    set_scale(layer, float(expected.detach().abs().max()) / 32767)
    slope = torch.randn(shape)
    (expected * slope).sum().backward()

    values = [t.values.float().requires_grad_() for t in (x, other)]
    inputs = [QTensor(v, t.scale, 8) for v, t in zip(values, (x, other), strict=True)]
    layer.train()
    result = layer(*inputs) if residual else layer(inputs[0])
    torch.testing.assert_close(result.dequantize(), expected, atol=1e-3, rtol=0)
    (result.dequantize() * slope).sum().backward()
    near = {"atol": 2e-3 * float(conv.weight.grad.abs().max()), "rtol": 2e-3}
    torch.testing.assert_close(layer.weight.grad, conv.weight.grad, **near)
    if conv.bias is not None:
        torch.testing.assert_close(layer.bias.grad, conv.bias.grad, atol=0.05, rtol=2e-3)
    pairs = [(values[0], real)] + ([(values[1], real_other)] if residual else [])
    for value, original in pairs:
        gradient = value.grad * 2.0**7  # with respect to real numbers
        torch.testing.assert_close(gradient, original.grad, atol=0.05, rtol=2e-3)


@pytest.mark.parametrize("relu", [False, True])
def test_clipped_results_have_no_gradient(relu):
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    layer = QATConv(FusedConv(conv, None, nn.ReLU() if relu else None), MINMAX, "layer")
    set_scale(layer, 1.0)
    values = torch.tensor([-120.0, -50.0, 50.0, 120.0]).view(1, 1, 1, 4).requires_grad_()
    layer.train()
    layer(QTensor(values, torch.tensor(2.0), 8)).values.sum().backward()
    gradient = values.grad.flatten()
    torch.testing.assert_close(gradient, torch.tensor([0.0, 0.0 if relu else 2.0, 2.0, 0.0]))


def test_steps_of_weights_do_not_stop_the_gradient():
    """A weight between two steps gets the gradient of the float layer."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    layer = QATConv(copy.deepcopy(conv), WIDE_OUT, "layer")
    set_scale(layer, 1e-3)
    x = integers((1, 3, 5, 6), 2.0**-7)
    conv(x.dequantize()).sum().backward()
    in_training(layer, x).dequantize().sum().backward()
    torch.testing.assert_close(layer.weight.grad, conv.weight.grad, atol=1e-2, rtol=1e-2)
    assert (layer.weight.grad != 0).all()


# Odd weights.


@pytest.mark.parametrize("bias", [None, 0.0, 0.5, -3.0])
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_dead_channel(bias, output):
    conv = build("3 to 33")
    with torch.no_grad():
        conv.weight[4] = 0
        if bias is None:
            conv.bias = None
        else:
            conv.bias[4] = bias
    x = [sample(3, (5, 4), 0.0123, 8)]
    model = calibrated(Single(conv, [0.0123], qconfig=OUTPUTS[output]), x)
    assert_is_reference(model, x)
    found = model(x)[:, 4]
    step = float(model.layer.act_quant.current()) if output != "int32" else 1e-6
    assert (found - (bias or 0.0)).abs().max() <= step
    quantised = model.stubs[0](x[0])
    if output != "int32":
        found, expected = (f(model.layer, quantised) for f in (in_training, in_evaluation))
        assert differences(found, expected).max() <= 1


def test_all_channels_dead():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    x = [sample(3, (2, 2), 0.0123, 8)]
    model = calibrated(Single(conv, [0.0123]), x)
    assert not model(x).any()
    assert not convert(model, x)(x).any()


def test_a_bias_far_above_the_weights():
    conv = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        conv.weight.fill_(1e-9)
        conv.bias.copy_(torch.tensor([5.0, -2.0]))
    x = [sample(1, (2, 2), 0.0123, 8)]
    model = calibrated(Single(conv, [0.0123]), x)
    assert_is_reference(model, x)
    assert (model(x) - conv.bias.view(1, 2, 1, 1)).abs().max() <= 5 / 127


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_errors(value):
    conv = build("3 to 33")
    layer = QATConv(conv, MINMAX, "the.layer")
    set_scale(layer, 0.1)
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = value
    with pytest.raises(InputError, match=r"the\.layer: .*not finite"):
        in_evaluation(layer, integers((1, 3, 4, 4), 0.1))


# What cannot be converted.


def test_an_accumulator_that_could_overflow_is_an_error():
    conv = nn.Conv2d(8, 3, 3)
    nn.init.ones_(conv.weight)
    x = [torch.ones(1, 8, 3, 3)]
    model = calibrated(Single(conv, [None], bits=[16]), x)
    with pytest.raises(InputError, match=r"layer: the accumulator of output channel 0"):
        convert(model, x)
    with pytest.raises(InputError, match=r"layer: the accumulator"):
        model(x)
    eight_bits = calibrated(Single(conv, [None]), x)
    assert_is_reference(eight_bits, x)


@pytest.mark.parametrize("scale", [1e-20, 1e-12])
def test_a_scale_that_cannot_be_represented_is_an_error(scale):
    x = [sample(3, (2, 2), 0.5, 8)]
    model = calibrated(Single(build("3 to 33"), [0.5]), x)
    set_scale(model.layer, scale)
    with pytest.raises(InputError, match=r"layer: the ratio of scales"):
        convert(model, x)


def test_a_huge_output_scale_is_representable():
    x = [sample(3, (2, 2), 0.5, 8)]
    model = calibrated(Single(build("3 to 33"), [0.5]), x)
    set_scale(model.layer, 1e9)
    converted = convert(model, x)
    trace(converted, x)
    assert not converted(x).any()


class Standardised(nn.Conv2d):
    """Its weight is another than its parameter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


def test_a_forward_function_that_the_integers_would_not_follow_is_an_error():
    with pytest.raises(InputError, match=r"a\.layer: cannot be quantised: Standardised has a forw"):
        QATConv(Standardised(1, 1, 3), MINMAX, "a.layer")


def test_an_int32_output_with_relu_needs_a_step():
    fused = FusedConv(nn.Conv2d(1, 1, 1), None, nn.ReLU())
    with pytest.raises(InputError, match=r"a\.layer: .*needs a step"):
        QATConv(fused, get_default_qat_out_qconfig(), "a.layer")


def test_a_plain_tensor_is_an_error():
    layer = QATConv(nn.Conv2d(1, 1, 1), MINMAX, "a.layer")
    with pytest.raises(InputError, match=r"a\.layer: .*QuantStub"):
        layer(torch.zeros(1, 1, 1, 1))


def test_evaluation_follows_the_weights():
    """What was lowered before is not used after a change: optimiser, loading, in place."""
    conv = build("3 to 33")
    layer = QATConv(conv, MINMAX, "layer")
    set_scale(layer, 0.02)
    x = integers((1, 3, 4, 4), 0.0123)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)

    def changes(action) -> bool:
        before = in_evaluation(layer, x).values
        action()
        return not torch.equal(in_evaluation(layer, x).values, before)

    assert not changes(lambda: None)
    in_training(layer, x).dequantize().sum().backward()
    assert changes(optimizer.step)
    half = {k: v * 0.5 if v.is_floating_point() else v for k, v in layer.state_dict().items()}
    half["act_quant.scale"] = half["act_quant.scale"] * 2
    assert changes(lambda: layer.load_state_dict(half))
    assert changes(lambda: layer.act_quant.scale.mul_(3))
    assert changes(lambda: layer.weight.detach().mul_(-1))


def test_a_model_in_bfloat16_stays_close():
    conv = build("3 to 33")
    layer = QATConv(conv, MINMAX, "layer")
    set_scale(layer, 0.02)
    x = integers((1, 3, 20, 20), 0.0123)
    expected = in_evaluation(layer, x).values.float()
    with torch.autocast("cpu", torch.bfloat16):
        found = in_training(layer, x)
    assert found.values.dtype == torch.bfloat16
    off = (found.values.float() - expected).abs()
    assert off.mean() < 0.2
    assert off.max() <= 1


def test_float_reference_is_close_for_every_geometry():
    """The integers mean what the float layer computes, up to their steps."""
    for name in CONVOLUTIONS:
        conv = build(name)
        x = [sample(conv.in_channels, (5, 4), 0.0123, 8)]
        model = calibrated(Single(conv, [0.0123]), x)
        real = conv(x[0])
        step = float(model.layer.act_quant.current())
        magnitude = conv.weight.abs().amax() / 254
        inputs = functional.unfold(x[0].abs(), 1).sum(1).max() * 9
        assert (model(x) - real).abs().max() <= 0.5 * step + magnitude * inputs + 1e-3
