"""Channels that use the same range: nothing changes in float, and int8 loses less."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import (
    QConfig,
    channel_ranges,
    equalise_channels,
    finish_calibration,
    fuse_modules,
    get_default_qat_qconfig,
    prepare_calibration,
    set_fake_quantize,
)
from horizon.quantization.equalise import LARGEST_FACTOR
from horizon.quantization.scales.fake_quantize import FakeQuantState
from tests.horizon.quantization.small_models import MINMAX, assert_all_stages, images

MSE = get_default_qat_qconfig(observer="minmax", qat_scale="fixed", weight_observer="mse")


class Chain(nn.Module):
    """A convolution, an activation, and what ``behind`` makes of it."""

    def __init__(
        self, behind: nn.Module, act: nn.Module | None = None, bn: bool = False, channels: int = 8
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.first = nn.Conv2d(2, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels) if bn else None
        self.act = act or nn.ReLU()
        self.behind = behind
        with torch.no_grad():  # channels of a range from 1 to 1/128
            shrink = 2.0 ** -torch.arange(channels)
            if self.bn is not None:
                self.bn.weight.mul_(shrink)
                self.bn.bias.copy_(0.3 * shrink)
            else:
                self.first.weight.mul_(shrink.view(-1, 1, 1, 1))
                self.first.bias.mul_(shrink)
        self.qconfig: QConfig = MINMAX
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.quant(x))
        x = self.act(x if self.bn is None else self.bn(x))
        return self.dequant(self.behind(x))

    def fuse_model(self, fold_bn: bool) -> None:
        names = ["first", "act"] if self.bn is None else ["first", "bn", "act"]
        fuse_modules(self, names, fold_bn)


class Two(nn.Module):
    """Two convolutions of one map, added."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x


class Again(nn.Module):
    """The same convolution twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


def tied() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1))
    model[1].weight = model[0].weight
    return model


def prepared(model: Chain, fold_bn: bool = True) -> nn.Module:
    model.fuse_model(fold_bn)
    return prepare_calibration(model, images(1, 16, 16), quiet=True).eval()


def calibrate(model: nn.Module) -> None:
    set_fake_quantize(model, FakeQuantState.CALIBRATION)
    with torch.no_grad():
        for seed in range(2):
            model(images(2, 16, 16, seed=seed))
    finish_calibration(model)


def equalise(model: nn.Module) -> list[str]:
    with channel_ranges(model) as ranges:
        calibrate(model)
    names = equalise_channels(model, ranges, images(1, 16, 16))
    calibrate(model)
    return names


def in_float(model: nn.Module) -> Tensor:
    set_fake_quantize(model, FakeQuantState.CALIBRATION)
    with torch.no_grad():
        result: Tensor = model(images(2, 16, 16, seed=5))
    set_fake_quantize(model, FakeQuantState.VALIDATION)
    return result


def error(model: nn.Module) -> float:
    """Mean square of what the integers have wrong, as a share of the output's."""
    expected = in_float(model)
    with torch.no_grad():
        found = model(images(2, 16, 16, seed=5))
    return float((found - expected).square().mean() / expected.var())


READERS = {
    "convolution": lambda: nn.Conv2d(8, 4, 3, padding=1),
    "depthwise": lambda: nn.Conv2d(8, 16, 3, padding=1, groups=8),
    "grouped": lambda: nn.Conv2d(8, 6, 3, padding=1, groups=2),
    "transposed": lambda: nn.ConvTranspose2d(8, 4, 4, 2, 1),
    "grouped transposed": lambda: nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=2),
    "reflecting": lambda: nn.Conv2d(8, 4, 3, padding=1, padding_mode="reflect"),
    "two": Two,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("act", [nn.ReLU(), nn.LeakyReLU(0.1), nn.PReLU(8)])
@pytest.mark.parametrize("bn", ["none", "folded", "with_bn"])
def test_nothing_changes_in_float(reader: str, act: nn.Module, bn: str) -> None:
    model = prepared(Chain(READERS[reader](), act, bn != "none"), fold_bn=bn == "folded")
    calibrate(model)
    before, lost = in_float(model), error(model)
    # A border is a step of its own, and no convolution.
    assert equalise(model) == ([] if reader == "reflecting" else ["first"])
    torch.testing.assert_close(in_float(model), before, rtol=1e-4, atol=1e-5)
    assert error(model) < 1.2 * lost


def test_small_channels_that_count_lose_less() -> None:
    chain = Chain(nn.Conv2d(5, 4, 1), channels=5)
    with torch.no_grad():
        chain.behind.weight.mul_(2.0 ** torch.arange(5).view(-1, 1, 1))
    model = prepared(chain)
    calibrate(model)
    lost = error(model)
    equalise(model)
    assert error(model) < 0.3 * lost


def test_ranges_become_alike_up_to_a_factor() -> None:
    model = prepared(Chain(nn.Conv2d(8, 4, 1)))
    equalise(model)
    with channel_ranges(model) as ranges:
        calibrate(model)
    found = next(r for layer, r in ranges.items() if layer.layer == "first")
    near = found / found.max()
    torch.testing.assert_close(near[:4], torch.ones(4), rtol=1e-3, atol=0)
    assert float(near[7]) == pytest.approx(LARGEST_FACTOR / 128, rel=0.9)
    assert float(near[7]) < 0.5


def test_a_channel_without_values_stays() -> None:
    chain = Chain(nn.Conv2d(8, 4, 1))
    with torch.no_grad():
        chain.first.bias[3] = -100.0
    model = prepared(chain)
    before = in_float(model)
    weight = model.get_submodule("first").weight[3].clone()
    assert equalise(model) == ["first"]
    assert torch.equal(model.get_submodule("first").weight[3], weight)
    torch.testing.assert_close(in_float(model), before, rtol=1e-4, atol=1e-5)


LEFT: dict[str, Callable[[], Chain]] = {
    "an addition": lambda: Chain(Residual()),
    "a pooling": lambda: Chain(nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 4, 1))),
    "a bounded activation": lambda: Chain(nn.Conv2d(8, 4, 1), nn.ReLU6()),
    "the output": lambda: Chain(nn.Identity()),
    "a layer that runs twice": lambda: Chain(Again()),
    "weights that two layers share": lambda: Chain(tied()),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_cannot_be_scaled_stays(what: str) -> None:
    model = prepared(LEFT[what]())
    before = {name: value.clone() for name, value in model.named_parameters()}
    assert "first" not in equalise(model)
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]), name


def test_one_step_for_all_weights_is_left_out() -> None:
    chain = Chain(nn.Conv2d(8, 4, 1))
    chain.qconfig = get_default_qat_qconfig(observer="minmax", per_channel=False)
    assert equalise(prepared(chain)) == []


@pytest.mark.parametrize("qconfig", [MINMAX, MSE])
def test_every_stage_gives_the_same_integers(qconfig: QConfig) -> None:
    chain = Chain(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 2, 1)), bn=True)
    chain.qconfig = qconfig
    model = prepared(chain)
    assert equalise(model) == ["first", "behind.0"]
    scaled = Chain(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 2, 1)), bn=False)
    state = model.state_dict()
    with torch.no_grad():
        for name, value in scaled.named_parameters():
            value.copy_(state[name])
    scaled.qconfig = qconfig
    scaled.fuse_model(True)
    assert_all_stages(scaled, images(1, 16, 16))
