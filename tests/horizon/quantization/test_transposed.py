"""Transposed convolutions with output padding, groups and dilation, from training to executors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    FakeQuantState,
    finish_calibration,
    fuse_modules,
    prepare_calibration,
    prepare_qat,
    set_fake_quantize,
)
from horizon.quantization.layers.conv import QATConv
from horizon.quantization.layers.conv_geometry import as_in_program, own_taps
from horizon.quantization.profiler.weights import compare_weights
from tests.horizon.quantization.everywhere import program_of
from tests.horizon.quantization.executors import check_exports
from tests.horizon.quantization.small_models import MINMAX, assert_all_stages, images

# (channels, what the transposed convolution has beside them)
LAYERS: dict[str, tuple[int, dict[str, Any]]] = {
    "output padding": (31, {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}),
    "one channel": (1, {"kernel_size": 2, "stride": 4, "output_padding": 3}),
    "groups": (6, {"kernel_size": 4, "stride": 2, "padding": 1, "groups": 2}),
    "depthwise": (33, {"kernel_size": 4, "stride": 2, "padding": 1, "groups": 33}),
    "depthwise, 3": (3, {"kernel_size": 3, "stride": 2, "output_padding": 1, "groups": 3}),
    "dilation": (3, {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": (2, 3)}),
    "all of it": (
        32,
        {
            "kernel_size": 3,
            "stride": (1, 2),
            "padding": 1,
            "output_padding": (2, 1),
            "groups": 4,
            "dilation": (3, 2),
        },
    ),
}


def normalised(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.running_mean, 0, 0.1)
    nn.init.uniform_(norm.running_var, 0.2, 0.5)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias, 0, 0.2)
    return norm


class Plain(nn.Module):
    """As one trains it: each form is fused with something else."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        channels, settings = LAYERS[name]
        self.stem = nn.Conv2d(2, channels, 3, padding=1)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(channels, channels, **settings) for _ in range(3)
        )
        self.norm, self.act = normalised(channels), nn.LeakyReLU(0.1)
        self.last = nn.Conv2d(channels, 2, 1)
        nn.init.constant_(self.last.bias, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        y = self.act(self.norm(self.ups[0](x)) + self.ups[1](x))
        return functional.relu(self.last(functional.relu(y + self.ups[2](x))))


class WithStubs(Plain):
    """The same between stubs, fused by name."""

    def __init__(self, name: str, fold_bn: bool = True) -> None:
        super().__init__(name)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.add, self.sum = FloatFunctional(), FloatFunctional()
        self.qconfig = MINMAX
        fuse_modules(self.eval(), ["ups.0", "norm", "add", "act"], fold_bn)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(self.quant(x)))
        y = self.act(self.add.add(self.ups[1](x), self.norm(self.ups[0](x))))
        return self.dequant(self.last(self.sum.add_relu(y, self.ups[2](x))))


@pytest.mark.parametrize("name", LAYERS)
def test_a_plain_network_in_every_executor(name: str, tmp_path: Path) -> None:
    graph = program_of(Plain(name), images(1, 3, 5))
    ops = [node.op for node in graph.nodes]
    assert ops == ["conv2d", *["conv_transpose2d"] * 3, "conv2d"]
    check_exports(graph, tmp_path)


@pytest.mark.parametrize("name", LAYERS)
def test_maps_of_one_row(name: str) -> None:
    program_of(Plain(name), images(2, 1, 3))


@pytest.mark.parametrize("fold_bn", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_network_with_stubs(name: str, fold_bn: bool) -> None:
    graph = assert_all_stages(WithStubs(name, fold_bn), images(2, 3, 4))
    assert [node.op for node in graph.nodes].count("conv_transpose2d") == 3


def test_batch_normalisation_follows_the_batches() -> None:
    """It sees what the float convolution gives."""
    model = WithStubs("all of it", fold_bn=False)
    prepared = prepare_qat(model, images(1, 4, 4)).train()
    norm = prepared.add.bn
    before = norm.running_mean.clone()
    x = images(4, 4, 5)
    prepared(x)
    values = functional.relu(model.stem(x))
    expected = model.add.conv(values).mean((0, 2, 3))
    found = (norm.running_mean - 0.9 * before) / 0.1
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("name", LAYERS)
def test_a_program_has_zeros_for_dilation_and_nothing_else(name: str) -> None:
    channels, settings = LAYERS[name]
    conv = nn.ConvTranspose2d(channels, channels, **settings)
    layer = QATConv(conv, MINMAX, "layer")
    weight, geometry = as_in_program(conv.weight.detach(), layer.geometry)
    assert geometry.dilation == (1, 1)
    assert all(m < s for m, s in zip(geometry.output_padding, geometry.stride, strict=True))
    assert torch.equal(own_taps(weight, layer.geometry, conv.kernel_size), conv.weight)
    assert (weight != 0).sum() == (conv.weight != 0).sum()
    if conv.dilation == (1, 1):
        assert weight.shape == conv.weight.shape


def test_weights_are_compared_by_output_channel() -> None:
    """Each step stands in its own channel, in groups and with dilation too."""
    model = WithStubs("all of it")
    x = images(1, 4, 5)
    prepared = prepare_calibration(model, x)
    prepared(x)
    set_fake_quantize(finish_calibration(prepared), FakeQuantState.VALIDATION)
    found = {one.layer: one for one in compare_weights(model, prepared, x)}
    assert found["add"].channels == found["ups.1"].channels == 32
    assert min(one.cosine for one in found.values()) > 0.999


class Sized(nn.Module):
    """A small U-Net for maps of any size: what goes up gets the size of what came down."""

    def __init__(self, by_name: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = nn.Identity(), nn.Identity()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 3, 2, 1)
        self.up = nn.ConvTranspose2d(4, 4, 3, 2, 1)
        self.last = nn.Conv2d(8, 2, 1)
        self.by_name = by_name

    def forward(self, x: Tensor) -> Tensor:
        maps = [functional.relu(self.first(self.quant(x)))]
        for _ in range(2):
            maps.append(functional.relu(self.down(maps[-1])))
        low, middle, high = maps[::-1]
        options = {"output_size": middle.shape[-2:]} if self.by_name else {}
        y = functional.relu(self.up(low, **options) + middle)
        up = self.up(y, output_size=high.size()) if self.by_name else self.up(y, high.size())
        return self.dequant(self.last(torch.cat([up, high], 1)))


@pytest.mark.parametrize(("size", "more"), [((9, 8), [(0, 1)] * 2), ((8, 6), [(1, 0), (1, 1)])])
def test_an_output_size_in_the_call_of_a_plain_network(size: Any, more: Any) -> None:
    graph = program_of(Sized(), images(2, *size))
    found = [node.attributes for node in graph.nodes if node.op == "conv_transpose2d"]
    assert [values.get("output_padding", (0, 0)) for values in found] == more


@pytest.mark.parametrize(("by_name", "text"), [(True, "by name"), (False, "this size")])
def test_an_output_size_between_stubs_is_refused(by_name: bool, text: str) -> None:
    model = Sized(by_name)
    model.quant, model.dequant, model.qconfig = QuantStub(), DeQuantStub(), MINMAX
    with pytest.raises(InputError, match=rf"up .*output_size.*{text}") as error:
        prepare_calibration(model.eval(), images(1, 5, 5))
    assert "output_padding" in str(error.value)
