"""Convolutions whose padding is no zeros: the border by ``F.pad``, then one without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import fuse_modules
from horizon.quantization.layers.conv_geometry import border_of, geometry_of
from tests.horizon.quantization.everywhere import program_of
from tests.horizon.quantization.executors import check_exports
from tests.horizon.quantization.small_models import MINMAX, assert_all_stages, images

MODES = ("reflect", "replicate", "circular")
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "3x3": {"kernel_size": 3, "padding": 1},
    "uneven": {"kernel_size": (3, 1), "padding": (1, 2), "stride": (2, 1), "bias": False},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 33},
    "same": {"kernel_size": (3, 5), "padding": "same", "dilation": (2, 1)},
    "same, even": {"kernel_size": (4, 2), "padding": "same"},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_border_and_the_rest_are_the_convolution(name: str, mode: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(33, 33, padding_mode=mode, **CONVOLUTIONS[name])
    border, geometry = border_of(conv), geometry_of(conv, "conv")
    assert border is not None
    assert geometry.padding == geometry.end == (0, 0)
    x = torch.rand(2, 33, 5, 6)
    rest = (conv.weight, conv.bias, geometry.stride, 0, geometry.dilation, geometry.groups)
    assert torch.equal(functional.conv2d(border(x), *rest), conv(x))


def test_a_border_of_nothing_is_none() -> None:
    for padding in (0, "valid", "same"):
        assert border_of(nn.Conv2d(1, 1, 1, padding=padding, padding_mode="reflect")) is None
    zeros = nn.Conv2d(1, 1, 3, padding="same")
    assert border_of(zeros) is None
    assert geometry_of(zeros, "conv").padding == (1, 1)


class Plain(nn.Module):
    """The first convolution reads the input; the others are fused with all that there is."""

    def __init__(self, mode: str, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(2, 33, 3, padding=2, padding_mode=mode)
        self.conv = nn.Conv2d(33, 33, padding_mode=mode, **CONVOLUTIONS[name])
        self.other = nn.Conv2d(33, 33, padding_mode=mode, **CONVOLUTIONS[name])
        self.norm, self.act = nn.BatchNorm2d(33), nn.LeakyReLU(0.1)
        nn.init.normal_(self.norm.running_mean, 0, 0.1)
        self.last = nn.Conv2d(33, 2, 1, padding_mode=mode)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        x = self.act(self.norm(self.conv(x)) + self.other(x))
        return functional.relu(self.last(x))


class WithStubs(Plain):
    """One convolution of it runs twice."""

    def __init__(self, mode: str, name: str, fold_bn: bool = True) -> None:
        super().__init__(mode, name)
        self.quant, self.dequant, self.add = QuantStub(1 / 128), DeQuantStub(), FloatFunctional()
        self.twice = nn.Conv2d(33, 33, 3, padding=1, padding_mode=mode)
        self.qconfig = MINMAX
        fuse_modules(self.eval(), ["conv", "norm", "add", "act"], fold_bn)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(self.quant(x)))
        x = self.act(self.add.add(self.other(x), self.norm(self.conv(x))))
        return self.dequant(self.last(self.twice(self.twice(x))))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_plain_network_in_every_executor(name: str, mode: str, tmp_path: Path) -> None:
    graph = program_of(Plain(mode, name), images(1, 4, 6))
    convolutions = [node.attributes for node in graph.nodes if "weight" in node.attributes]
    assert len(convolutions) == 4
    assert all(values["padding"] == (0, 0) for values in convolutions)
    assert not any("end_padding" in values for values in convolutions)
    check_exports(graph, tmp_path)


@pytest.mark.parametrize("fold_bn", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_network_with_stubs(name: str, mode: str, fold_bn: bool) -> None:
    assert_all_stages(WithStubs(mode, name, fold_bn), images(2, 5, 4))


@pytest.mark.parametrize("mode", ["replicate", "circular"])
def test_maps_of_one_row(mode: str) -> None:
    class Row(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3, padding=1, padding_mode=mode)
            self.last = nn.Conv2d(3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(functional.relu(self.conv(x)))

    program_of(Row(), images(1, 1, 9, channels=1))
