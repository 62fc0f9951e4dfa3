"""The prepared layers without weights, and what may be done with a quantised tensor."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from horizon.errors import InputError
from horizon.nn import Correlation, FloatFunctional, GridSample, QuantStub
from horizon.nn.correlation import shifted_products
from horizon.nn.grid_sample import warp
from horizon.quantization import (
    FakeQuantState,
    QTensor,
    convert,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
    prepared_layers,
)
from horizon.quantization.fuse import FusedConv, FusedCorrelation
from horizon.quantization.layers.conv import QATConv
from horizon.quantization.layers.correlation import QATCorrelation
from horizon.quantization.layers.functional import QATFunctional
from horizon.quantization.layers.grid_sample import QATGridSample
from horizon.quantization.layers.rescale import QATReLU
from horizon.quantization.layers.stubs import QATDeQuantStub, QATQuantStub
from horizon.quantization.qtensor import LIMITS
from tests.horizon.quantization.small_models import (
    MINMAX,
    WIDE,
    Single,
    assert_is_reference,
    calibrated,
    in_evaluation,
    in_training,
    integers,
    set_scale,
    set_state,
)

REQUANTISE = get_default_qat_qconfig(observer="minmax", qat_scale="fixed", concat="requantise")
SIZES = [(1, 7), (5, 4)]


def real(shape, scale: float, bits: int = 8, seed: int = 0) -> torch.Tensor:
    return integers(shape, scale, bits, seed).dequantize()


def off_by(found: QTensor, expected: QTensor) -> torch.Tensor:
    assert torch.equal(found.channel_scale(), expected.channel_scale())
    assert found.bits == expected.bits
    assert not expected.values.is_floating_point()
    return (found.values.detach().double() - expected.values.double()).abs()


def assert_rare_ties(off: torch.Tensor, share: float = 1e-4) -> None:
    """Differences of one step in at most ``share`` of the values."""
    assert off.max() <= 1
    assert off.mean() <= share


# Correlation.


def correlation(md: int, relu: bool) -> nn.Module:
    return FusedCorrelation(Correlation(md), nn.ReLU()) if relu else Correlation(md)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 33])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bits", [(8, 8), (8, 16)])
def test_correlation_equals_the_reference(size, channels, relu, bits):
    shape = (2, channels, *size)
    x = [real(shape, 0.013, bits[0], 1), real(shape, 0.007, bits[1], 2)]
    model = Single(correlation(2, relu), [0.013, 0.007], bits)
    graph = assert_is_reference(calibrated(model, x), x)
    assert graph.tensors["out"].shape[3] == 25


@pytest.mark.parametrize("channels", [2, 8, 32])
def test_correlation_in_training_equals_evaluation(channels):
    layer = QATCorrelation(correlation(2, True), MINMAX, "layer")
    set_scale(layer, 2.0**-4)
    first = integers((2, channels, 5, 7), 2.0**-7, seed=1)
    second = integers((2, channels, 5, 7), 2.0**-6, seed=2)
    exact = off_by(in_training(layer, first, second), in_evaluation(layer, first, second))
    assert not exact.any()

    set_scale(layer, 0.0031)
    first = integers((2, channels, 20, 20), 0.0077, seed=1)
    second = integers((2, channels, 20, 20), 0.0133, seed=2)
    assert_rare_ties(off_by(in_training(layer, first, second), in_evaluation(layer, first, second)))


def test_extreme_correlations():
    x = torch.full((1, 33, 4, 4), -128.0)
    model = calibrated(Single(Correlation(1), [1.0, 1.0]), [x, x])
    assert_is_reference(model, [x, x])
    assert_is_reference(model, [x, torch.full_like(x, 127.0)])
    set_scale(model.layer, 1.0)
    assert_is_reference(model, [x, torch.full_like(x, 127.0)])
    clipped = model([x, torch.full_like(x, 127.0)])
    assert float(clipped.min()) == -128


def test_correlation_s_gradient_is_the_float_layer_s_for_fine_steps():
    torch.manual_seed(0)
    pair = [integers((1, 5, 4, 6), 2.0**-7, seed=s) for s in (1, 2)]
    floats = [x.dequantize().requires_grad_() for x in pair]
    slope = torch.randn(1, 9, 4, 6)
    (shifted_products(*floats, 1) * slope).sum().backward()
    layer = QATCorrelation(Correlation(1), WIDE, "layer").train()
    set_scale(layer, 1 / 32767)
    values = [x.values.float().requires_grad_() for x in pair]
    inputs = [QTensor(v, x.scale, 8) for v, x in zip(values, pair, strict=True)]
    (layer(*inputs).dequantize() * slope).sum().backward()
    for value, expected in zip(values, floats, strict=True):
        torch.testing.assert_close(value.grad * 2.0**7, expected.grad, atol=1e-4, rtol=1e-4)


def test_a_correlation_that_could_overflow_is_an_error():
    x = [torch.ones(1, 9, 2, 2), torch.ones(1, 9, 2, 2)]
    model = calibrated(Single(Correlation(0), [None, None], (16, 16)), x)
    with pytest.raises(InputError, match=r"layer: the accumulator could reach"):
        convert(model, x)


# Warp.


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 4), (2, 130)])
@pytest.mark.parametrize("channels", [1, 3, 33])
@pytest.mark.parametrize("bits", [8, 16])
def test_warp_equals_the_reference(size, channels, bits):
    feature = real((2, channels, *size), 0.013, bits, 1)
    step = (5.0 if max(size) > 1 else 0.9) / 32768
    x = [feature, real((2, 2, *size), step, 16, 2)]
    graph = assert_is_reference(calibrated(Single(GridSample(), [0.013, step], (bits, 16)), x), x)
    assert graph.tensors["out"].scales == graph.tensors["in0"].scales


def test_warp_by_extreme_offsets():
    """Up to 32767 steps of a pixel: clamped, and far outside, which is 0."""
    feature = real((1, 3, 6, 6), 1.0, 8, 1)
    for scale in (2.0**-8, 1.0, 7.3):
        offset = torch.tensor([-32768, -32767, 32767, 0, 1, -1]).float() * scale
        offset = offset.expand(1, 2, 6, 6).clone()
        offset[:, 1, :3] = 0
        x = [feature, offset]
        assert_is_reference(calibrated(Single(GridSample(), [1.0, scale], (8, 16)), x), x)


@pytest.mark.parametrize("size", [(1, 7), (6, 40)])
def test_warp_in_training_equals_evaluation(size):
    layer = QATGridSample(GridSample(), MINMAX, "layer")
    feature = integers((2, 3, *size), 0.013, 8, 1)
    for scale in (2.0**-13, 2.0**-15):
        offset = integers((2, 2, *size), scale, 16, 2)
        found, expected = in_training(layer, feature, offset), in_evaluation(layer, feature, offset)
        assert not off_by(found, expected).any()
        assert expected.values.any()
    offset = integers((2, 2, *size), 0.00005, 16, 2)
    found, expected = in_training(layer, feature, offset), in_evaluation(layer, feature, offset)
    # Another fraction of an offset after a tie moves a bilinear sample by one step or so.
    assert off_by(found, expected).max() <= 2
    assert off_by(found, expected).mean() <= 1e-2


def test_warp_s_gradient_is_the_float_layer_s():
    """Offsets on the grid of the fraction bits."""
    torch.manual_seed(0)
    feature, offset = integers((1, 3, 6, 7), 2.0**-7, 8), integers((1, 2, 6, 7), 2.0**-8, 16)
    offset.values.fmod_(700)
    floats = [x.dequantize().requires_grad_() for x in (feature, offset)]
    slope = torch.randn(1, 3, 6, 7)
    (warp(*floats) * slope).sum().backward()
    values = [x.values.float().requires_grad_() for x in (feature, offset)]
    layer = QATGridSample(GridSample(), MINMAX, "layer").train()
    inputs = [QTensor(values[0], feature.scale, 8), QTensor(values[1], offset.scale, 16)]
    (layer(*inputs).dequantize() * slope).sum().backward()
    torch.testing.assert_close(values[0].grad * 2.0**7, floats[0].grad, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(values[1].grad * 2.0**8, floats[1].grad, atol=1e-3, rtol=1e-3)


def test_int8_offsets_are_an_error():
    layer = QATGridSample(GridSample(), MINMAX, "a.warp")
    with pytest.raises(InputError, match=r"a\.warp: .*int16, found int8"):
        in_evaluation(layer, integers((1, 3, 2, 2), 1.0), integers((1, 2, 2, 2), 1.0))


# Addition, multiplication by a number, ReLU.


def add(module, x, y):
    return module.add(x, y)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 33])
@pytest.mark.parametrize("bits", [(8, 8), (8, 16), (16, 8)])
@pytest.mark.parametrize("out", [MINMAX, WIDE])
def test_addition_equals_the_reference(size, channels, bits, out):
    shape = (2, channels, *size)
    x = [real(shape, 0.013, bits[0], 1), real(shape, 0.0017, bits[1], 2)]
    model = Single(FloatFunctional(), [0.013, 0.0017], bits, add, out)
    assert_is_reference(calibrated(model, x), x)


def test_a_sum_saturates():
    x = [torch.full((1, 1, 2, 2), 127.0), torch.full((1, 1, 2, 2), 127.0)]
    model = calibrated(Single(FloatFunctional(), [1.0, 1.0], None, add), x)
    set_scale(model.layer, 1.0)
    assert_is_reference(model, x)
    assert (model(x) == 127).all()
    assert (model([-x[0] - 1, -x[1] - 1]) == -128).all()


def test_a_summand_may_vanish():
    x = [real((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), 1e-9)]
    model = calibrated(Single(FloatFunctional(), [1.0, 1e-11], None, add), x)
    graph = assert_is_reference(model, x)
    assert graph.nodes[0].attributes["multiplier_b"] == 0


def test_addition_in_training_equals_evaluation():
    layer = QATFunctional(FloatFunctional(), MINMAX, "layer")
    for scales, out in (((2.0**-7, 2.0**-5), 2.0**-5), ((0.0133371, 0.0071213), 0.0178439)):
        set_scale(layer, out)
        x, y = (integers((2, 3, 90, 90), s, seed=i) for i, s in enumerate(scales))
        found, expected = in_training(layer, x, y, call=add), in_evaluation(layer, x, y, call=add)
        off = off_by(found, expected)
        assert_rare_ties(off, share=0 if out == 2.0**-5 else 1e-4)


def test_addition_s_gradient_is_one_where_nothing_is_clipped():
    layer = QATFunctional(FloatFunctional(), MINMAX, "layer").train()
    set_scale(layer, 1.0)
    x = torch.tensor([-100.0, 3.0, 50.0, 127.0]).view(1, 1, 1, 4).requires_grad_()
    y = torch.tensor([-100.0, 4.0, -9.0, 3.0]).view(1, 1, 1, 4).requires_grad_()
    total = layer.add(QTensor(x, torch.tensor(1.0), 8), QTensor(y, torch.tensor(1.0), 8))
    total.values.sum().backward()
    for value in (x, y):
        assert value.grad.flatten().tolist() == [0, 1, 1, 0]


def test_int32_is_not_added_to():
    """2**31 times a multiplier of 24 bits is more than float64 holds."""
    layer = QATFunctional(FloatFunctional(), MINMAX, "a.sum")
    set_scale(layer, 1.0)
    x = integers((1, 2, 2, 2), 1.0)
    wide = QTensor(x.values.int(), x.scale, 32)
    for pair in ((x, wide), (wide, x)):
        with pytest.raises(InputError, match=r"a\.sum: it adds an int32 tensor"):
            in_evaluation(layer, *pair, call=add)
    conv = QATConv(FusedConv(nn.Conv2d(2, 2, 1), None, None, 1), MINMAX, "a.conv")
    set_scale(conv, 1.0)
    with pytest.raises(InputError, match=r"a\.conv: it adds an int32 tensor"):
        in_evaluation(conv, x, wide)


def test_an_int32_sum_needs_a_step():
    layer = QATFunctional(FloatFunctional(), get_default_qat_out_qconfig(), "a.sum")
    x = integers((1, 2, 2, 2), 1.0)
    for run in (in_training, in_evaluation):
        with pytest.raises(InputError, match=r"a\.sum: .*without a step"):
            run(layer, x, x, call=add)


def test_a_sum_of_tensors_with_channel_scales_is_an_error():
    layer = QATFunctional(FloatFunctional(), MINMAX, "a.sum")
    set_scale(layer, 1.0)
    x = integers((1, 2, 2, 2), [1.0, 2.0])
    for run in (in_training, in_evaluation):
        with pytest.raises(InputError, match=r"a\.sum: .*one scale per channel.*requantise"):
            run(layer, x, x, call=add)


def test_multiplication_by_a_number_changes_the_scale_only():
    layer = QATFunctional(FloatFunctional(), MINMAX, "a.scale")
    x = integers((1, 2, 2, 2), 0.5, 16)
    for run in (in_training, in_evaluation):
        y = run(layer, x, call=lambda m, v: m.mul_scalar(v, 2.5))
        assert torch.equal(y.values.long(), x.values.long())
        assert float(y.scale) == 1.25
        assert y.bits == 16
        with pytest.raises(InputError, match="expected above 0"):
            run(layer, x, call=lambda m, v: m.mul_scalar(v, -1.0))


def test_relu_by_itself():
    for bits in (8, 16):
        x = [real((2, 3, 1, 7), 0.013, bits)]
        graph = assert_is_reference(calibrated(Single(nn.ReLU(), [0.013], [bits]), x), x)
        assert graph.nodes[0].op == "rescale"
        layer = QATReLU(nn.ReLU(), MINMAX, "layer")
        quantised = integers((2, 3, 1, 7), 0.013, bits)
        expected = in_evaluation(layer, quantised)
        assert not off_by(in_training(layer, quantised), expected).any()
        assert torch.equal(expected.values, quantised.values.relu())


# Concatenation.


def cat(module, *tensors):
    return module.cat(list(tensors))


class CatThenConv(nn.Module):
    def __init__(self, *channels: int) -> None:
        super().__init__()
        self.cat = FloatFunctional()
        self.conv = nn.Conv2d(sum(channels), 33, 3, padding=1)

    def forward(self, *tensors):
        return self.conv(self.cat.cat(list(tensors)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("qconfig", [MINMAX, REQUANTISE])
@pytest.mark.parametrize("bits", [(8, 8, 8), (8, 8, 16), (16, 8, 8)])
def test_concatenation_equals_the_reference(size, qconfig, bits):
    torch.manual_seed(0)
    scales, channels = (0.013, 0.0017, 0.09), (1, 3, 33)
    x = [
        real((2, c, *size), s if b == 8 else s / 256, b, i)
        for i, (c, s, b) in enumerate(zip(channels, scales, bits, strict=True))
    ]
    steps = [s if b == 8 else s / 256 for s, b in zip(scales, bits, strict=True)]
    model = Single(CatThenConv(*channels), steps, bits, qconfig=qconfig)
    graph = assert_is_reference(calibrated(model, x), x)
    ops = [node.op for node in graph.nodes]
    joined = graph.tensors["layer.cat"]
    assert joined.dtype == "int8"
    if qconfig is MINMAX:
        assert ops.count("rescale") == bits.count(16)
        assert len(set(joined.scales)) == 3
    else:
        assert ops.count("rescale") == 3
        assert len(joined.scales) == 1


def test_concatenation_of_one_scale_needs_no_arithmetic():
    x = [real((1, 3, 4, 4), 0.5, seed=1), real((1, 1, 4, 4), 0.5, seed=2)]
    model = calibrated(Single(CatThenConv(3, 1), [0.5, 0.5]), x)
    graph = assert_is_reference(model, x)
    assert [node.op for node in graph.nodes] == ["concat", "conv2d"]
    assert graph.tensors["layer.cat"].scales == (0.5,)


def test_a_concatenation_in_int16_brings_int8_inputs_to_its_type():
    x = [real((1, 3, 4, 4), 0.5, seed=1), real((1, 1, 4, 4), 2.0**-9, 16, seed=2)]
    model = Single(FloatFunctional(), [0.5, 2.0**-9], (8, 16), cat, WIDE)
    graph = assert_is_reference(calibrated(model, x), x)
    assert graph.tensors["out"].dtype == "int16"


@pytest.mark.parametrize("qconfig", [MINMAX, REQUANTISE])
def test_concatenation_in_training_equals_evaluation(qconfig):
    layer = QATFunctional(FloatFunctional(), qconfig, "layer")
    parts = [
        integers((1, 3, 60, 60), 2.0**-5, seed=1),
        integers((1, 1, 60, 60), 2.0**-12, 16, seed=2),
        integers((1, 33, 60, 60), 2.0**-6, seed=3),
    ]
    set_scale(layer, 2.0**-5)
    found, expected = in_training(layer, *parts, call=cat), in_evaluation(layer, *parts, call=cat)
    assert not off_by(found, expected).any()
    set_scale(layer, 0.0271)
    found, expected = in_training(layer, *parts, call=cat), in_evaluation(layer, *parts, call=cat)
    assert_rare_ties(off_by(found, expected))


@pytest.mark.parametrize("how", ["fixed", "moving_average"])
def test_a_concatenation_follows_the_largest_of_its_inputs(how):
    """Whatever their order."""
    qconfig = get_default_qat_qconfig(qat_scale=how, concat="requantise", averaging_constant=0.5)
    parts = [integers((1, 1, 3, 3), s) for s in (0.25, 1.0, 0.5)]
    layer = QATFunctional(FloatFunctional(), qconfig, "layer")
    in_training(layer, *parts, call=cat)
    assert float(layer.act_quant.scale) == pytest.approx(128 / 127)
    in_training(layer, *[QTensor(x.values, 3 * x.scale, 8) for x in parts], call=cat)
    expected = 128 / 127 if how == "fixed" else 2 * 128 / 127
    assert float(layer.act_quant.scale) == pytest.approx(expected)


def test_concatenation_s_gradient_goes_to_every_input():
    layer = QATFunctional(FloatFunctional(), REQUANTISE, "layer").train()
    set_scale(layer, 1.0)
    values = [torch.full((1, 1, 1, 2), 10.0, requires_grad=True) for _ in range(2)]
    parts = [QTensor(v, torch.tensor(s), 8) for v, s in zip(values, (0.5, 4.0), strict=True)]
    layer.cat(parts).values.sum().backward()
    assert values[0].grad.flatten().tolist() == [0.5, 0.5]
    assert values[1].grad.flatten().tolist() == [4.0, 4.0]


def test_a_converted_place_has_one_operation():
    x = [real((1, 1, 2, 2), 1.0), real((1, 1, 2, 2), 1.0)]
    converted = convert(calibrated(Single(FloatFunctional(), [1.0, 1.0], None, add), x), x)
    one = converted.stubs[0](x[0])
    with pytest.raises(InputError, match=r"layer: converted as 'add' and called as 'cat'"):
        converted.layer.cat([one, one])


# Stubs and states.


@pytest.mark.parametrize("bits", [8, 16])
def test_input_rounds_half_up_and_clamps(bits):
    low, high = LIMITS[bits]
    config = MINMAX if bits == 8 else WIDE
    layer = QATQuantStub(QuantStub(0.5), config, "quant")
    x = torch.tensor([0.25, -0.25, 0.75, -0.75, 0.24, 1e9, -1e9]).view(1, 1, 1, 7)
    expected = [1, 0, 2, -1, 0, high, low]
    for state, training in ((FakeQuantState.QAT, True), (FakeQuantState.QAT, False)):
        set_state(layer, state, training)
        assert layer(x).values.flatten().tolist() == expected
    assert layer(x).values.dtype == (torch.int8 if bits == 8 else torch.int16)


def test_an_image_of_8_bits_is_exact():
    layer = QATQuantStub(QuantStub(1 / 128), MINMAX, "quant").eval()
    steps = torch.arange(-128, 128).view(1, 1, 1, 256)
    assert torch.equal(layer(steps / 128).values.long(), steps)
    assert torch.equal(layer(steps / 128).dequantize(), steps / 128)


def test_input_clips_its_gradient():
    layer = QATQuantStub(QuantStub(1.0), MINMAX, "quant").train()
    x = torch.tensor([-200.0, 3.3, 200.0]).view(1, 1, 1, 3).requires_grad_()
    layer(x).values.sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 0]


def test_dequantised_int32_is_rounded_once():
    layer = QATDeQuantStub(nn.Identity(), MINMAX, "dequant").eval()
    values = torch.tensor([2**24 + 1, -(2**24) - 3], dtype=torch.int32).view(1, 1, 1, 2)
    found = layer(QTensor(values, torch.tensor(0.75), 32))
    expected = (values.double() * 0.75).float()
    assert torch.equal(found, expected)


def test_layers_in_different_states_are_an_error():
    x = [real((1, 3, 2, 2), 1.0)]
    model = calibrated(Single(nn.Conv2d(3, 3, 1), [1.0]), x)
    model.layer.fake_quant_state = FakeQuantState.CALIBRATION
    with pytest.raises(InputError, match=r"layer: .*state calibration.*set_fake_quantize"):
        model(x)


def test_a_deep_copy_does_not_share_what_was_lowered():
    x = [real((1, 3, 2, 2), 1.0)]
    model = calibrated(Single(nn.Conv2d(3, 3, 1), [1.0]), x)
    model(x)
    assert model.layer._lowered
    twin = copy.deepcopy(model)
    assert not any(layer._lowered for _, layer in prepared_layers(twin))
    assert torch.equal(twin(x), model(x))


# Quantised tensors.


def tensor(scale=1.0) -> QTensor:
    return integers((2, 4, 3, 5), scale)


@pytest.mark.parametrize(
    "action",
    [
        lambda x: x + x,
        lambda x: x - 1,
        lambda x: 1 - x,
        lambda x: x * -2,
        lambda x: 0 * x,
        lambda x: 2 / x,
        lambda x: x * x,
        lambda x: -x,
        lambda x: x > 0,
        lambda x: x.mean((2, 3)),
        lambda x: x.view(2, -1) + 1,
        lambda x: x.transpose(2, 3) * 2,
        lambda x: x + x.transpose(2, 3),
        lambda x: torch.cat([x.transpose(2, 3)], 0),
        lambda x: x.T,
        lambda x: torch.ones(1) + x,
        lambda x: x + torch.ones(1),
        lambda x: torch.relu(x),
        lambda x: nn.functional.leaky_relu(x),
        lambda x: nn.Conv2d(4, 1, 1)(x),
        lambda x: nn.functional.pad(x, (1, 1), value=1.0),
        lambda x: nn.functional.pad(x, (9, 9), mode="reflect"),
        lambda x: torch.cat([x, x], 1),
        lambda x: torch.cat([x, torch.zeros(2, 4, 3, 5)]),
        lambda x: torch.cat([x, integers((2, 4, 3, 5), 0.5)]),
        lambda x: torch.cat([x, integers((2, 4, 3, 5), 1.0, 16)]),
        lambda x: x[:, 4:],
        lambda x: x.split([1, 2], 1),
    ],
)
def test_arithmetic_outside_of_the_layers_is_an_error(action):
    with pytest.raises(InputError, match=r"quantised (and a plain )?tensor"):
        action(tensor())


def test_what_no_tensor_has_is_an_error_as_well():
    with pytest.raises(InputError, match="'colour' of a quantised tensor"):
        _ = tensor().colour
    assert not hasattr(tensor(), "colour")


@pytest.mark.parametrize(
    "action", [lambda x: x * 2.5, lambda x: 2.5 * x, lambda x: x / 0.4, lambda x: torch.mul(x, 2.5)]
)
def test_a_positive_factor_changes_the_scale_only(action):
    found = action(tensor())
    assert float(found.scale) == pytest.approx(2.5)
    assert torch.equal(found.values, tensor().values)


def test_dropout_does_nothing_in_evaluation_and_keeps_integers_in_training():
    x = tensor()
    assert nn.Dropout(0.5).eval()(x) is x
    floats = QTensor(x.values.float(), x.scale, 8)
    found = nn.Dropout(0.5).train()(floats)
    assert float(found.scale) == 2.0
    assert bool(((found.values == floats.values) | (found.values == 0)).all())
    assert not torch.equal(found.values, floats.values)


def test_slices_keep_integers_and_scales():
    x = tensor([1.0, 2.0, 3.0, 4.0])
    part = x[:, 1:3]
    assert torch.equal(part.values, x.values[:, 1:3])
    assert part.scale.tolist() == [2.0, 3.0]
    assert torch.equal(x[1:].values, x.values[1:])
    assert torch.equal(x[..., :, :].values, x.values)
    assert torch.equal(x[:, -1:, ...].values, x.values[:, -1:])
    halves = x.chunk(2)
    assert torch.equal(torch.cat(list(halves)).values, x.values)
    assert [c.scale.tolist() for c in torch.chunk(x, 2, 1)] == [[1.0, 2.0], [3.0, 4.0]]


def test_quantising_twice_is_an_error():
    layer = QATQuantStub(QuantStub(1.0), MINMAX, "quant")
    with pytest.raises(InputError, match="quantised already"):
        layer(tensor())
