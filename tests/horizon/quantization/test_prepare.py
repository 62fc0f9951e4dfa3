"""From a float model to a prepared one: what is refused, what is listed, what stays."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys

import pytest
import torch
from torch import nn

from hat.engine.ema import averaged_model
from horizon.errors import InputError
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    FakeQuantState,
    QATLayer,
    check_prepared,
    finish_calibration,
    output_integers,
    prepare_calibration,
    prepare_qat,
    prepared_layers,
    set_fake_quantize,
)
from horizon.quantization.layers.conv import QATConv
from tests.horizon.quantization.small_models import (
    MINMAX,
    OddNet,
    Single,
    calibrated,
    images,
    odd_net,
)


def chain(*layers: nn.Module) -> nn.Sequential:
    model = nn.Sequential(QuantStub(1 / 128), *layers, DeQuantStub())
    model.qconfig = MINMAX
    return model


def test_the_calls_of_the_tutorial():
    """``import horizon`` is enough, and costs no torch until quantisation is asked for."""
    code = (
        "import sys, horizon\n"
        "assert 'torch' not in sys.modules\n"
        "from torch import nn\n"
        "from horizon.nn import QuantStub\n"
        "model = nn.Sequential(QuantStub(), nn.Conv2d(1, 1, 1))\n"
        "model.qconfig = horizon.quantization.get_default_qat_qconfig()\n"
        "result = horizon.quantization.prepare_qat(model, inplace=True)\n"
        "assert result is model\n"
        "print(type(model[1]).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "QATConv"


@pytest.mark.parametrize("prepare", [prepare_calibration, prepare_qat])
def test_in_place_or_not(prepare):
    model = odd_net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    prepared = prepare(model)
    assert prepared is not model
    assert not list(prepared_layers(model))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert prepare(model, inplace=True) is model
    assert dict(prepared_layers(model)).keys() == dict(prepared_layers(prepared)).keys()


def test_every_layer_is_prepared_under_its_name():
    prepared = prepare_qat(odd_net())
    names = dict(prepared_layers(prepared))
    fused_away = {"stem_bn", "stem_relu", "grouped", "grouped_bn", "grouped_relu"}
    leaves = {n for n, _ in OddNet().named_children()} - fused_away - {"correlation_relu"}
    assert names.keys() == leaves
    assert all(layer.layer == name for name, layer in names.items())
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, FloatFunctional)
    assert not any(type(m) in kinds for m in prepared.modules())


def test_training_mode_stays():
    assert not any(layer.training for _, layer in prepared_layers(prepare_qat(odd_net())))
    assert all(layer.training for _, layer in prepared_layers(prepare_qat(odd_net().train())))


@pytest.mark.parametrize("prepare", [prepare_calibration, prepare_qat])
def test_no_qconfig_is_an_error(prepare):
    with pytest.raises(InputError, match=r"no layer has a qconfig.*set_qconfig"):
        prepare(nn.Sequential(QuantStub(), nn.Conv2d(1, 1, 1)))


def test_unfused_normalisation_is_an_error_that_names_it():
    model = chain(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU())
    with pytest.raises(InputError, match=r"1 place\(s\)[^$]*2: BatchNorm2d.*fuse_model"):
        prepare_qat(model)


def test_all_layers_without_a_fixed_point_form_are_listed():
    model = chain(nn.Conv2d(1, 2, 1), nn.RReLU(), nn.Conv2d(2, 2, 1), nn.LPPool2d(2, 2))
    with pytest.raises(InputError) as error:
        prepare_qat(model)
    assert "2 place(s)" in str(error.value)
    assert "2: RReLU has no fixed-point form" in str(error.value)
    assert "4: LPPool2d has no fixed-point form" in str(error.value)


def test_a_layer_with_parameters_of_its_own_is_an_error():
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    with pytest.raises(InputError, match=r"1: Scale has no fixed-point form"):
        prepare_qat(chain(Scale()))


def test_a_relu_by_itself_is_a_warning(caplog):
    model = chain(nn.Conv2d(1, 2, 1), nn.ReLU())
    (finding,) = check_prepared(model)
    assert (finding.layer, finding.kind, finding.is_error) == ("2", "unfused", False)
    with caplog.at_level(logging.WARNING, "horizon"):
        prepared = prepare_qat(model)
    assert "2: ReLU by itself" in caplog.text
    assert [f.layer for f in check_prepared(prepared)] == ["2"]


def test_a_layer_whose_qconfig_is_none_stays_in_float(caplog):
    model = chain(nn.Conv2d(1, 2, 1))
    model.append(nn.Conv2d(2, 2, 1))
    model[3].qconfig = None
    with caplog.at_level(logging.WARNING, "horizon"):
        prepared = prepare_qat(model)
    assert "3: Conv2d has qconfig None and stays in float" in caplog.text
    assert type(prepared[3]) is nn.Conv2d
    x = images(1, 3, 3, 1)
    set_fake_quantize(prepared, FakeQuantState.CALIBRATION)
    torch.testing.assert_close(prepared(x), model(x))


def test_a_float_layer_among_quantised_ones_is_an_error_when_it_runs():
    model = chain(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
    model[2].qconfig = None
    with pytest.raises(InputError, match=r"torch\.conv2d was called on a quantised tensor"):
        prepare_calibration(model)(images(1, 3, 3, 1))


class Shared(nn.Module):
    def __init__(self, nested: bool) -> None:
        super().__init__()
        self.quant = QuantStub()
        self.first = nn.Conv2d(1, 1, 1)
        self.second = nn.Sequential(self.first) if nested else self.first
        self.qconfig = MINMAX


@pytest.mark.parametrize("nested", [False, True])
def test_one_layer_in_two_places_stays_one(nested):
    prepared = prepare_qat(Shared(nested))
    second = prepared.second[0] if nested else prepared.second
    assert isinstance(second, QATConv)
    assert second is prepared.first


def test_set_fake_quantize_needs_a_prepared_model():
    with pytest.raises(InputError, match="no prepared layer"):
        set_fake_quantize(nn.Conv2d(1, 1, 1), FakeQuantState.QAT)
    prepared = prepare_qat(odd_net())
    for state in FakeQuantState:
        assert set_fake_quantize(prepared, state) is prepared
        assert {layer.fake_quant_state for _, layer in prepared_layers(prepared)} == {state}


@pytest.mark.parametrize("fold_bn", [True, False])
def test_validation_is_exact_in_training_mode_too(fold_bn):
    x = images(2, 5, 7)
    model = calibrated(odd_net(fold_bn, qat_scale="moving_average"), 0.3 * x)
    expected = model.eval()(x)
    before = copy.deepcopy(model.state_dict())
    assert torch.equal(set_fake_quantize(model.train(), FakeQuantState.VALIDATION)(x), expected)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_preparing_again_changes_the_state_only():
    x = images(1, 5, 7)
    model = calibrated(odd_net(), x)
    layers = dict(prepared_layers(model))
    qat = prepare_qat(model, inplace=True)
    assert qat is model
    assert dict(prepared_layers(qat)) == layers
    assert all(layer.fake_quant_state is FakeQuantState.QAT for layer in layers.values())


@pytest.mark.parametrize("how", ["fixed", "moving_average", "learned"])
@pytest.mark.parametrize("fold_bn", [True, False])
def test_state_dicts_go_both_ways(how, fold_bn):
    x = images(1, 5, 7)
    calibration = calibrated(odd_net(fold_bn), x)
    qat = prepare_qat(odd_net(fold_bn, qat_scale=how)).eval()
    with torch.no_grad():
        for parameter in qat.parameters():
            parameter.zero_()
    assert calibration.state_dict().keys() == qat.state_dict().keys()
    qat.load_state_dict(calibration.state_dict())
    (expected,) = output_integers(calibration, x)
    assert torch.equal(output_integers(qat, x)[0], expected)
    empty = prepare_calibration(odd_net(fold_bn))
    empty.load_state_dict(qat.state_dict())
    set_fake_quantize(empty, FakeQuantState.VALIDATION)
    assert torch.equal(output_integers(empty, x)[0], expected)


def test_the_float_model_s_parameters_keep_their_names():
    model = odd_net()
    prepared = prepare_qat(model)
    assert prepared.stem.weight is not model.stem.conv.weight
    assert {"stem.weight", "stem.bias", "grouped_add.weight", "up.weight"} <= {
        name for name, _ in prepared.named_parameters()
    }


@pytest.mark.parametrize("how", ["moving_average", "learned"])
def test_a_moving_average_of_the_model(how):
    """The copy follows weights, scales and readiness, and evaluates what it has."""
    x = images(2, 5, 7)
    model = prepare_qat(odd_net(qat_scale=how)).train()
    averaged = averaged_model(model, 0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    results = []
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        averaged.update_parameters(model)
        results.append(averaged.module.eval()(x))
        fresh = prepare_qat(odd_net(qat_scale=how)).eval()
        fresh.load_state_dict(averaged.module.state_dict())
        assert torch.equal(fresh(x), results[-1])
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[-1], model.eval()(x))


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("options", [{}, {"qat_scale": "learned"}, {"concat": "requantise"}])
def test_training_steps_lower_the_loss(bfloat16, options):
    x = images(4, 6, 7)
    torch.manual_seed(0)
    target = 0.1 * torch.randn(4, 2, 6, 7)
    model = prepare_qat(calibrated(odd_net(fold_bn=False, **options), x)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = (model(x) - target).square().mean()
        loss.backward()
        gradients = [p.grad for p in model.parameters()]
        assert all(g is not None and torch.isfinite(g).all() for g in gradients)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_a_step_in_bfloat16_stays_close():
    x = images(2, 6, 7)
    results = {}
    for enabled in (False, True):
        model = prepare_qat(calibrated(odd_net(), x)).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            flow = model(x)
        flow.float().square().mean().backward()
        results[enabled] = (flow.detach().float(), model.narrow.weight.grad.flatten())
    (expected, gradient), (found, other) = results[False], results[True]
    assert (found - expected).norm() < 0.1 * expected.norm()
    assert torch.cosine_similarity(gradient, other, 0) > 0.9


def test_hooks_see_every_layer_in_every_stage():
    x = images(1, 5, 7)
    for model in (prepare_calibration(odd_net()), calibrated(odd_net(), x)):
        seen: list[str] = []

        def hook(layer: QATLayer, *_: object, seen: list[str] = seen) -> None:
            seen.append(layer.layer)

        for _, layer in prepared_layers(model):
            layer.register_forward_hook(hook)
        model.eval()(x)
        assert sorted(seen) == sorted(name for name, _ in prepared_layers(model))


def test_observers_choose_different_scales():
    x = images(2, 5, 7)
    scales = {}
    for observer in ("minmax", "percentile", "mse", "kl", "moving_average"):
        options = {"percentile": 90.0} if observer == "percentile" else {}
        model = calibrated(odd_net(observer=observer, **options), x, x)
        scales[observer] = float(model.stem.act_quant.current())
    assert scales["percentile"] < scales["minmax"]
    assert scales["mse"] <= scales["minmax"]
    assert scales["moving_average"] == scales["minmax"]


def test_weights_clip_only_where_calibration_searched():
    model = odd_net(weight_observer="mse")
    with torch.no_grad():  # worst for steps of a 127th of the largest
        model.narrow.weight.fill_(64.5 / 127)[:, 0] = 1.0
    prepared = prepare_calibration(model).eval()
    prepared(images(1, 5, 7))
    assert (prepared.narrow.weight_clip == 1).all()
    finish_calibration(prepared)
    assert (prepared.narrow.weight_clip < 1).all()


def test_what_does_nothing_may_stay():
    model = Single(nn.Identity())
    assert isinstance(prepare_qat(model).stubs[0], QATLayer)
