"""Layers that fixed point does not cover: all of them, with what to use instead."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import fuse_modules, get_default_qat_qconfig, prepare_calibration
from horizon.quantization.remedies import ACTIVATIONS, LAYERS, instead_of
from horizon.quantization.unquantised import find_refusal, list_unquantised


class Network(nn.Module):
    """A convolution, what a test puts behind it, and a convolution."""

    def __init__(self, *layers: nn.Module, fused: Any = ("conv", "norm", "act")) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(), DeQuantStub()
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.middle = nn.Sequential(*layers)
        self.last = nn.Conv2d(4, 2, 1)
        self.fused = fused

    def forward(self, x: Tensor) -> Any:
        x = self.act(self.norm(self.conv(self.quant(x))))
        return self.dequant(self.last(self.middle(x)))

    def fuse_model(self) -> None:
        fuse_modules(self, self.fused)

    def set_qconfig(self) -> None:
        self.qconfig = get_default_qat_qconfig()


IMAGE = torch.zeros(1, 3, 6, 6)


def test_a_network_that_can_be_quantised() -> None:
    network = Network(nn.Identity(), nn.ReLU())
    assert list_unquantised(network) == []
    assert find_refusal(network.eval(), IMAGE) is None


def test_all_layers_are_found_and_the_network_is_left_alone() -> None:
    network = Network(nn.Softmax(1), nn.Sequential(nn.LPPool2d(2, 2), nn.RReLU()))
    found = list_unquantised(network)
    assert [(one.layer, one.kind) for one in found] == [
        ("middle.0", "Softmax"),
        ("middle.1.0", "LPPool2d"),
        ("middle.1.1", "RReLU"),
    ]
    assert "DeQuantStub" in found[0].instead
    assert "stride 2" in found[1].instead
    assert "nn.ReLU" in found[2].instead
    assert isinstance(network.norm, nn.BatchNorm2d)
    assert not hasattr(network, "qconfig")


def test_a_normalisation_that_stands_alone() -> None:
    (found,) = list_unquantised(Network(nn.BatchNorm2d(4)))
    assert (found.layer, found.reason) == ("middle.0", "no convolution has taken it in")
    assert "right behind a convolution" in found.instead


def test_what_cannot_be_fused_because_of_its_class() -> None:
    network = Network()
    network.act = nn.RReLU()
    (found,) = list_unquantised(network)
    assert (found.layer, found.kind) == ("act", "RReLU")


def test_what_cannot_be_fused_for_another_reason() -> None:
    with pytest.raises(InputError, match="cannot fuse norm"):
        list_unquantised(Network(fused=("norm", "conv")))


class OneCallOnly(Network):
    """A convolution whose second call no normalisation follows, and which is fused with it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers, fused=("conv", "norm"))
        self.conv = nn.Conv2d(4, 4, 1)
        with torch.no_grad():
            for values in (self.norm.running_mean, self.norm.running_var):
                assert values is not None
                values.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.conv(self.norm(self.conv(self.quant(x))))
        return self.dequant(self.last(self.middle(x)))

    def example_input(self) -> Tensor:
        return torch.zeros(1, 4, 6, 6)


def test_a_network_that_is_fused_into_another_is_refused() -> None:
    torch.manual_seed(0)
    network = OneCallOnly().eval()
    with pytest.raises(InputError, match="fusing: the network's output is another than before"):
        list_unquantised(network)
    with pytest.raises(InputError, match="fusing: the network's output is another than before"):
        find_refusal(network, network.example_input())
    network = OneCallOnly(nn.Softmax(1)).eval()
    assert [one.kind for one in list_unquantised(network)] == ["Softmax"]


def test_layers_that_are_to_stay_in_float() -> None:
    network = Network(nn.Softmax(1))
    network.middle.qconfig = None
    assert list_unquantised(network) == []


class Remainder(nn.Module):
    def forward(self, x: Any) -> Any:
        return self.inner(x)

    @staticmethod
    def inner(x: Any) -> Any:
        return x % 2


class Squashed(nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.tan(x)


class Bent(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.sinh()


@pytest.mark.parametrize(
    ("layer", "text"),
    [(Remainder(), "remainder"), (Squashed(), "torch.tan"), (Bent(), "sinh")],
    ids=["operator", "function", "method"],
)
def test_arithmetic_in_forward_names_its_layer(layer: nn.Module, text: str) -> None:
    network = Network(nn.Identity(), layer).eval()
    assert list_unquantised(network) == []
    found = find_refusal(network, IMAGE)
    assert found is not None
    assert (found.layer, found.kind) == ("middle.1", type(layer).__name__)
    assert text in found.reason


def test_a_network_that_is_broken_in_float_says_so_itself() -> None:
    network = Network()
    network.last = None  # type: ignore[assignment]
    with pytest.raises(TypeError, match="not callable"):
        find_refusal(network, IMAGE)


def test_every_layer_of_torch_has_an_answer() -> None:
    for name, kind in vars(nn).items():
        if isinstance(kind, type) and issubclass(kind, nn.Module):
            assert instead_of(name)
    for name in ACTIVATIONS:
        assert issubclass(getattr(nn, name), nn.Module)
    assert all(any(part in name for name in vars(nn)) for part, _ in LAYERS)
    assert "RReLU" in ACTIVATIONS
    assert "stride 2" in instead_of("MaxPool2d")
    assert "1x1" in instead_of("Linear")
    assert "horizon.nn" in instead_of("LSTM")


@pytest.mark.parametrize(
    ("layer", "shape", "instead"),
    [
        (nn.Conv1d(4, 4, 3), (1, 4, 16), r"nn\.Conv2d with a kernel of 1xk, on maps of one row"),
        (nn.ConvTranspose1d(4, 4, 3), (1, 4, 16), r"nn\.ConvTranspose2d with a kernel of 1xk"),
        (nn.Conv3d(4, 4, 1), (1, 4, 1, 4, 4), r"nn\.Conv2d, with the frames as channels"),
        (nn.ConvTranspose3d(4, 4, 1), (1, 4, 1, 4, 4), r"nn\.ConvTranspose2d, with the frames"),
    ],
    ids=lambda x: type(x).__name__,
)
@pytest.mark.parametrize("stubs", [True, False])
def test_convolutions_of_other_dimensions(
    layer: nn.Module, shape: tuple[int, ...], instead: str, stubs: bool
) -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant = nn.Identity(), nn.Identity()
            if stubs:
                self.quant, self.dequant = QuantStub(), DeQuantStub()
                self.qconfig = get_default_qat_qconfig()
            self.conv, self.other = nn.Conv2d(3, 4, 3), layer

        def forward(self, x: Tensor) -> Any:
            return self.dequant(self.other(self.conv(self.quant(x)).reshape(shape)))

    kind = type(layer).__name__
    with pytest.raises(
        InputError, match=rf"other .*: {kind} has no fixed-point form; use {instead}"
    ):
        prepare_calibration(Other().eval(), IMAGE)
