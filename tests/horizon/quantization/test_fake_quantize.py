"""The scale of an activation: found, followed, learned, or refused."""

from __future__ import annotations

import copy
import logging
import math

import pytest
import torch
from torch import nn

from horizon.errors import InputError
from horizon.quantization import (
    ActivationConfig,
    FakeQuantize,
    FakeQuantState,
    QConfig,
    QTensor,
    finish_calibration,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
    prepare_calibration,
    prepare_qat,
)
from horizon.quantization.layers.conv import QATConv
from tests.horizon.quantization.small_models import (
    MINMAX,
    Single,
    calibrated,
    images,
    integers,
    odd_net,
    set_scale,
    set_state,
)


def fake(**options) -> FakeQuantize:
    return FakeQuantize(ActivationConfig(**{"observer": "minmax", **options}), "some.layer")


@pytest.mark.parametrize(("dtype", "high"), [("int8", 127), ("int16", 32767)])
def test_calibration_takes_the_observer_s_scale(dtype, high):
    quant = fake(dtype=dtype)
    quant.observe(torch.tensor([1.0, -3.0]))
    quant.observe(torch.tensor([2.0]))
    assert not quant.ready
    quant.finish_calibration()
    assert float(quant.current()) == pytest.approx(3 / high)
    quant.finish_calibration()  # nothing new was observed: nothing changes
    assert float(quant.current()) == pytest.approx(3 / high)


def test_an_uncalibrated_scale_is_an_error_that_names_the_layer():
    with pytest.raises(InputError, match=r"some\.layer.*no scale yet.*calibrate"):
        fake().current()


def test_an_uncalibrated_model_is_an_error_that_names_the_layer():
    model = prepare_qat(odd_net()).eval()
    with pytest.raises(InputError, match=r"stem: .*no scale yet"):
        model(images(1, 3, 3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_errors_that_name_the_layer(value):
    model = odd_net()
    with torch.no_grad():
        model.narrow.bias[1] = value
    with pytest.raises(InputError, match=r"narrow: .*not finite"):
        prepare_calibration(model).eval()(images(1, 3, 3))


def test_an_all_zero_output_gets_the_floor_and_a_warning(caplog):
    model = odd_net()
    nn.init.zeros_(model.narrow.weight)
    nn.init.zeros_(model.narrow.bias)
    with caplog.at_level(logging.WARNING, "horizon"):
        prepared = calibrated(model, images(1, 3, 3))
    assert "narrow: its output was zero" in caplog.text
    assert float(prepared.narrow.act_quant.current()) == pytest.approx(2.0**-14 / 127)
    assert torch.isfinite(prepared(images(1, 3, 3))).all()


def test_state_calibration_is_the_float_model():
    model = odd_net()
    x = images(2, 5, 7)
    prepared = prepare_calibration(model).eval()
    torch.testing.assert_close(prepared(x), model(x), atol=1e-6, rtol=1e-5)


def test_observers_look_in_calibration_only():
    x = images(2, 5, 7)
    model = calibrated(odd_net(), x)
    scales = {k: v.clone() for k, v in model.state_dict().items() if k.endswith(".scale")}
    for state in (FakeQuantState.VALIDATION, FakeQuantState.QAT):
        for module in model.modules():
            if hasattr(module, "fake_quant_state"):
                module.fake_quant_state = state
        model.eval()(0.5 * x)
    model.train()(0.5 * x)  # qat_scale is "fixed"
    finish_calibration(model)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in scales.items())


def test_moving_average_follows_in_training_only():
    quant = fake(qat_scale="moving_average", averaging_constant=0.25)
    quant.follow(torch.tensor(127.0))  # the first batch starts it
    assert float(quant.current()) == 1.0
    quant.follow(torch.tensor(381.0))
    assert float(quant.current()) == 1.5
    quant.follow(torch.tensor(math.nan))
    assert float(quant.current()) == 1.5

    x = images(2, 5, 7)
    options = {"qat_scale": "moving_average", "averaging_constant": 0.5}
    model = prepare_qat(calibrated(odd_net(**options), 0.5 * x))
    before = model.stem.act_quant.current().clone()
    model.eval()(x)
    assert torch.equal(model.stem.act_quant.current(), before)
    model.train()(x)
    assert float(model.stem.act_quant.current()) > 1.1 * float(before)


def test_fixed_scales_do_not_move():
    quant = fake(qat_scale="fixed")
    quant.follow(torch.tensor(127.0))
    quant.follow(torch.tensor(381.0))
    assert float(quant.current()) == 1.0


def test_training_without_calibration_starts_from_the_first_batch():
    x = images(2, 5, 7)
    for how in ("fixed", "moving_average", "learned"):
        model = prepare_qat(odd_net(qat_scale=how)).train()
        model(x)
        assert model.stem.act_quant.ready
        assert torch.isfinite(model.eval()(x)).all()
        largest = calibrated(odd_net(), x).stem.act_quant.current()
        torch.testing.assert_close(model.stem.act_quant.current(), largest, rtol=0.02, atol=0)


def test_a_given_scale_is_ready_and_never_moves():
    quant = fake(dtype="int32", scale=0.25)
    assert quant.ready
    quant.observe(torch.tensor([1e6]))
    quant.finish_calibration()
    quant.follow(torch.tensor(1e6))
    assert float(quant.current()) == 0.25


@pytest.mark.parametrize(
    ("factory", "options", "found"),
    [
        (get_default_qat_qconfig, {"dtype": "int4"}, "int4"),
        (get_default_qat_qconfig, {"qat_scale": "often"}, "often"),
        (get_default_qat_qconfig, {"weight_observer": "kl"}, "kl"),
        (get_default_qat_qconfig, {"concat": "glue"}, "glue"),
        (get_default_qat_qconfig, {"averaging_constant": 0.0}, "averaging_constant"),
        (get_default_qat_out_qconfig, {"scale": -1.0}, "-1.0"),
    ],
)
def test_a_wrong_choice_is_an_error(factory, options, found):
    with pytest.raises(InputError, match=found):
        factory(**options)


# Learned scales. One weight of 1, int16 inputs of fine steps: the only coarse step is the output's.


def unit_conv(gain: float, bits: str = "int8", largest: float = 1.0) -> QATConv:
    config = QConfig(ActivationConfig(bits, observer="minmax", qat_scale="learned"))
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    layer = QATConv(conv, config, "unit")
    set_scale(layer, gain * largest / (127 if bits == "int8" else 32767))
    set_state(layer, FakeQuantState.QAT, True)
    return layer


def error_of(layers: list[QATConv], x: QTensor) -> torch.Tensor:
    y = x
    for layer in layers:
        y = layer(y)
    return (y.dequantize() - x.dequantize()).square().mean()


def difference_quotient(layers, layer, x: QTensor, step: float) -> float:
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            layer.act_quant.log2_gain.fill_(sign * step)
            losses.append(float(error_of(layers, x)))
            layer.act_quant.log2_gain.zero_()
    return (losses[0] - losses[1]) / (2 * step)


@pytest.fixture(scope="module")
def fine() -> QTensor:
    """Uniform in -1..1."""
    wide = integers((1, 1, 200, 200), 1 / 32767, bits=16)
    return QTensor(wide.values.float(), wide.scale, 16)


@pytest.mark.parametrize(("gain", "sign"), [(0.25, -1), (0.6, -1), (4.0, 1), (6.0, 1)])
def test_a_learned_scale_gets_the_gradient_of_the_error(fine, gain, sign):
    """Too small a scale clips, so that it has to grow; too large a one rounds coarsely."""
    layer = unit_conv(gain)
    error_of([layer], fine).backward()
    gradient = float(layer.act_quant.log2_gain.grad)
    assert gradient * sign > 0
    expected = difference_quotient([layer], layer, fine, 0.05)
    assert gradient == pytest.approx(expected, rel=0.15)


def test_the_gradient_reaches_the_scale_of_the_layer_before(fine):
    first, second = unit_conv(0.5), unit_conv(2.0, "int16")
    error_of([first, second], fine).backward()
    gradient = float(first.act_quant.log2_gain.grad)
    assert gradient < 0
    expected = difference_quotient([first, second], first, fine, 0.01)
    assert gradient == pytest.approx(expected, rel=0.02)


def test_learning_finds_the_scale(fine):
    layer = unit_conv(0.3)
    optimizer = torch.optim.Adam([layer.act_quant.log2_gain], lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        error_of([layer], fine).backward()
        optimizer.step()
    assert layer.act_quant.current().item() * 127 == pytest.approx(1.0, abs=0.1)


def test_learned_scales_of_a_whole_model_have_gradients_and_count_in_evaluation():
    x = images(2, 5, 7)
    model = prepare_qat(calibrated(odd_net(qat_scale="learned"), x)).train()
    learned = dict(model.named_parameters())
    learned = {k: v for k, v in learned.items() if k.endswith("log2_gain")}
    assert {"stem.act_quant.log2_gain", "correlation.act_quant.log2_gain"} <= learned.keys()
    model(x).square().mean().backward()
    assert all(torch.isfinite(p.grad) for p in learned.values())
    assert all(float(p.grad) != 0 for p in learned.values())
    before = model.eval()(x)
    with torch.no_grad():
        learned["stem.act_quant.log2_gain"].fill_(-2.0)
    assert not torch.equal(model(x), before)


def test_calibrating_again_starts_from_what_is_observed():
    x = images(2, 5, 7)
    model = calibrated(odd_net(qat_scale="learned"), x)
    expected = model.stem.act_quant.current().clone()
    with torch.no_grad():
        model.stem.act_quant.log2_gain.fill_(3.0)
    for module in model.modules():
        if hasattr(module, "fake_quant_state"):
            module.fake_quant_state = FakeQuantState.CALIBRATION
    model(x)
    finish_calibration(model)
    assert torch.equal(model.stem.act_quant.current(), expected)


def test_the_deep_copy_of_a_model_has_scales_of_its_own():
    x = images(2, 5, 7)
    model = calibrated(Single(nn.Conv2d(2, 3, 1), qconfig=MINMAX), [x])
    twin = copy.deepcopy(model)
    expected = model([x])
    twin.layer.act_quant.scale.mul_(4)
    assert torch.equal(model([x]), expected)
    assert not torch.equal(twin([x]), expected)


def test_following_keeps_the_margin() -> None:
    """A wide activation keeps room for values larger than any batch had."""
    quant = FakeQuantize(ActivationConfig("int16", "minmax", {"margin": 2.0}), "some.layer")
    quant.follow(torch.tensor(3.0))
    assert float(quant.current()) == pytest.approx(2 * 3.0 / 32767)


@pytest.mark.parametrize(("made", "used"), [("int8", "int16"), ("int16", "int8")])
def test_a_scale_that_was_found_for_other_bits_is_refused(made, used):
    def network(dtype: str) -> nn.Module:
        model = odd_net(dtype=dtype)
        model.narrow.qconfig = MINMAX  # no correlation of int16
        return model

    x = images(1, 6, 6)
    found = calibrated(network(made), x).state_dict()
    assert found["down.act_quant.ready"] == int(made.removeprefix("int"))
    same = prepare_qat(network(made))
    same.load_state_dict(found)
    other = prepare_qat(network(used))
    with pytest.raises(
        InputError, match=f"scale was found for {made}, and the qconfig says {used}"
    ):
        other.load_state_dict(found)
    for name in list(found):  # a file that does not say
        if name.endswith(".ready"):
            found[name] = found[name].clamp(max=1)
    other.load_state_dict(found)


def test_a_given_scale_is_not_replaced_by_a_file_s():
    x = images(1, 6, 6)
    found = calibrated(odd_net(), x).state_dict()
    model = odd_net()
    model.quant.scale = 1 / 64
    message = "quant: the checkpoint has the scale 0.0078125, and the model gives 0.015625"
    with pytest.raises(InputError, match=message):
        prepare_qat(model).load_state_dict(found)
