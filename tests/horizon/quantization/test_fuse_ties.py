"""Layers and weights that stand in several places of a network: fusing keeps what it computes."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from hat.engine.convert import Float2Calibration, Float2QAT
from horizon.errors import InputError
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    check_same_output,
    convert,
    finish_calibration,
    fuse_modules,
    output_integers,
    prepare_calibration,
)
from horizon.quantization.fuse import FusedConv
from tests.horizon.quantization.small_models import MINMAX, calibrated, images

CHANNELS = 4


def norm() -> nn.BatchNorm2d:
    """Batch normalisation that is far from the identity."""
    layer = nn.BatchNorm2d(CHANNELS)
    nn.init.uniform_(layer.running_mean, -1, 1)  # type: ignore[arg-type]
    nn.init.uniform_(layer.running_var, 0.2, 3)  # type: ignore[arg-type]
    nn.init.uniform_(layer.weight, 0.5, 2)
    nn.init.uniform_(layer.bias, -1, 1)
    return layer


class Small(nn.Module):
    """Stubs around ``body``, with what the stages of a config need; ``fused`` is what is fused."""

    fused: tuple[list[str], ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        return self.dequant(self.body(self.quant(image)))

    def fuse_model(self, fold_bn: bool = True) -> None:
        for names in self.fused:
            fuse_modules(self, names, fold_bn)

    def set_qconfig(self) -> None:
        self.qconfig = MINMAX

    def example_input(self) -> Tensor:
        return torch.zeros(1, CHANNELS, 6, 8)


class TwoPlaces(Small):
    """Two convolutions, each with a normalisation; ``tie`` says what they share."""

    fused = (["a", "a_bn"], ["b", "b_bn", "b_relu"])

    def __init__(self, tie: str, same_bn: bool) -> None:
        super().__init__()
        self.a, self.a_bn = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), norm()
        self.b, self.b_bn = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), norm()
        self.b_relu = nn.ReLU()
        if tie == "module":
            self.b = self.a
        if tie in ("weight", "weight and bias"):
            self.b.weight = self.a.weight
        if tie == "weight and bias":
            self.b.bias = self.a.bias
        if same_bn:
            self.b_bn = self.a_bn

    def body(self, x: Tensor) -> Tensor:
        return self.b_relu(self.b_bn(self.b(self.a_bn(self.a(x)))))


class Once(Small):
    """Two convolutions that share a normalisation and a ReLU, under one name each."""

    fused = (["a", "bn", "relu"], ["b", "bn", "relu"])

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.bn, self.relu = norm(), nn.ReLU()

    def body(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.b(self.relu(self.bn(self.a(x))))))


class ConvBn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(CHANNELS, CHANNELS, 1), norm()

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class OneBlock(Small):
    """A block that stands in two places, under two names."""

    fused = (["first.conv", "first.bn"], ["second.conv", "second.bn"])

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = ConvBn()

    def body(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class TwoSums(Small):
    """A convolution with two additions behind it, and the same normalisation before both."""

    fused = (["conv", "bn", "first"], ["conv", "bn", "second"])

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(CHANNELS, CHANNELS, 1), norm()
        self.first, self.second = FloatFunctional(), FloatFunctional()

    def body(self, x: Tensor) -> Tensor:
        y = self.first.add(x, self.bn(self.conv(x)))
        return self.second.add(x, self.bn(self.conv(y)))


CASES: dict[str, Callable[[], Small]] = {
    **{
        f"{tie}, {'the same' if same else 'each its'} normalisation": (
            lambda tie=tie, same=same: TwoPlaces(tie, same)
        )
        for tie in ("nothing", "module", "weight", "weight and bias")
        for same in (False, True)
    },
    "normalisation and ReLU under one name": Once,
    "a block under two names": OneBlock,
    "one convolution, two additions": TwoSums,
}


@pytest.mark.parametrize("fold_bn", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_fusing_keeps_the_output(case: str, fold_bn: bool) -> None:
    torch.manual_seed(0)
    model = CASES[case]().eval()
    x = torch.randn(2, CHANNELS, 6, 8)
    expected = model(x)
    model.fuse_model(fold_bn)
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize("case", [c for c in CASES if c != "a block under two names"])
@pytest.mark.parametrize("converter", [Float2QAT, Float2Calibration])
@pytest.mark.parametrize("mode", ["fuse_bn", "with_bn"])
def test_every_stage_keeps_it(case: str, converter: type, mode: str) -> None:
    torch.manual_seed(0)
    model = CASES[case]().eval()
    x = images(4, 6, 8, CHANNELS)
    expected = model(x).detach()
    model = prepare_calibration(converter(mode)(model))
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)
    finish_calibration(model)
    step = float(expected.abs().max()) / 127
    assert (model(x) - expected).abs().max() < 8 * step
    (found,), (wanted,) = output_integers(convert(model), x), output_integers(model, x)
    assert torch.equal(found, wanted)
    assert wanted.unique().numel() > 20


def test_the_layers_of_the_float_network_stay_as_they_were() -> None:
    model = TwoPlaces("module", False)
    conv, before = model.a, model.a.weight.clone()
    model.fuse_model()
    assert torch.equal(conv.weight, before)
    assert isinstance(model.a, FusedConv)
    assert not torch.equal(model.a.conv.weight, model.b.conv.weight)


def test_fusing_in_training_mode_takes_the_running_statistics() -> None:
    torch.manual_seed(0)
    model = TwoPlaces("weight", False)
    x = torch.randn(2, CHANNELS, 6, 8)
    expected = model.eval()(x)
    model.train().fuse_model()
    assert all(m.training for m in model.modules() if isinstance(m, FusedConv))
    torch.testing.assert_close(model.eval()(x), expected, atol=1e-5, rtol=1e-5)


def test_what_was_untied_is_said(caplog: pytest.LogCaptureFixture) -> None:
    Float2QAT()(TwoPlaces("weight", False))
    assert "a.weight and b.weight share one tensor in the float model" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Float2QAT("with_bn")(TwoPlaces("weight", False))
        Float2QAT()(TwoPlaces("nothing", False))
    assert "share one tensor" not in caplog.text


class OneCallOnly(Small):
    """A convolution whose second call no normalisation follows."""

    fused = (["conv", "bn"],)

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(CHANNELS, CHANNELS, 1), norm()

    def body(self, x: Tensor) -> Tensor:
        return self.conv(self.bn(self.conv(x)))


class HalfFused(Once):
    """Fuses the ReLU away from under the second convolution."""

    fused = (["a", "bn", "relu"],)


class Crossed(TwoPlaces):
    """Each normalisation is named with the other convolution."""

    fused = (["a", "b_bn"], ["b", "a_bn", "b_relu"])


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


@pytest.mark.parametrize("mode", ["fuse_bn", "with_bn"])
@pytest.mark.parametrize("make", [OneCallOnly, HalfFused, lambda: Crossed("nothing", False)])
def test_a_network_that_computes_something_else_is_refused(
    make: Callable[[], Small], mode: str
) -> None:
    torch.manual_seed(0)
    model = make()
    with pytest.raises(InputError, match=r"output is another than before, by .* fuse_model\(\)"):
        Float2Calibration(mode)(model)


def test_the_check_is_open_to_any_model() -> None:
    torch.manual_seed(0)
    before, after = OneCallOnly(), OneCallOnly()
    after.load_state_dict(before.state_dict())
    check_same_output(before, after, before.example_input(), "nothing")
    after.fuse_model()
    with pytest.raises(InputError, match=r"fuse_model\(\) here: the network's output is another"):
        check_same_output(before, after, before.example_input(), "fuse_model() here")


def test_a_layer_that_another_has_taken_in_is_named() -> None:
    model = TwoSums()
    fuse_modules(model, ["conv", "bn", "first"])
    with pytest.raises(InputError, match=r"conv \(Conv2d, fused with first already\).*of its own"):
        fuse_modules(model, ["conv", "bn"])
    with pytest.raises(InputError, match=r"first \(FusedConv\).*needs a layer of its own"):
        fuse_modules(model, ["conv", "first"])


def test_other_numbers_of_channels_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(1))
    with pytest.raises(InputError, match="has 2 output channels, the batch normalisation 1"):
        fuse_modules(model, ["0", "1"])


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_weights_that_are_computed_at_each_call_are_refused(wrap: Callable) -> None:
    model = nn.Sequential(QuantStub(1 / 128), wrap(nn.Conv2d(CHANNELS, CHANNELS, 1)), norm())
    with pytest.raises(InputError, match=r"1 \(ParametrizedConv2d.*remove_parametrizations"):
        fuse_modules(model, ["1", "2"])
    plain = nn.Sequential(*model[:2], DeQuantStub())
    plain.qconfig = MINMAX
    with pytest.raises(InputError, match=r"1: cannot be quantised.*remove_parametrizations"):
        prepare_calibration(plain)


def test_a_convolution_with_a_forward_of_its_own_is_refused() -> None:
    model = nn.Sequential(QuantStub(1 / 128), Standardised(CHANNELS, CHANNELS, 1), DeQuantStub())
    model.qconfig = MINMAX
    with pytest.raises(InputError, match=r"1: cannot.*Standardised has a forward\(\) of its own"):
        calibrated(model)
