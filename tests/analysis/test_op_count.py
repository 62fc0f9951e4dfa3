"""Counts of single layers by hand, and those of the tutorial's network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hat.analysis import count_ops
from hat.config import Config
from hat.errors import InputError
from hat.registry import build_from_registry
from horizon.nn import Correlation, GridSample

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py"


class Layers(nn.Module):
    """One of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 8, (3, 5), stride=2, padding=(1, 2), groups=2)
        self.bn = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 2, 4, stride=2, padding=1)
        self.correlation = Correlation(1)
        self.warp = GridSample()
        self.unused = nn.Linear(3, 1)

    def forward(self, data: dict[str, Any]) -> torch.Tensor:
        x = self.bn(self.conv(data["img"]))
        flow = self.up(x)
        warped = self.warp(data["img"], flow)
        return self.correlation(data["img"], warped)


def test_each_kind_of_layer_by_hand() -> None:
    count = count_ops(Layers(), (2, 6, 8, 12))
    rows = {layer.name: layer for layer in count.layers}
    assert list(rows) == ["conv", "up", "warp", "correlation", "unused"]
    assert rows["conv"].macs == 2 * 8 * 4 * 6 * (3 * 3 * 5)  # 3 channels per group
    assert rows["conv"].parameters == 8 * 3 * 15 + 8 + 16  # weights, bias, batch norm
    assert rows["conv"].operation == "3x5 conv, stride 2, groups 2 + BN"
    assert rows["conv"].output == (2, 8, 4, 6)
    assert rows["up"].macs == 2 * 8 * 4 * 6 * (2 * 4 * 4)
    assert rows["warp"].macs == 2 * 6 * 8 * 12 * 4
    assert rows["correlation"].macs == 2 * 9 * 8 * 12 * 6
    assert (rows["unused"].macs, rows["unused"].parameters, rows["unused"].output) == (0, 4, ())
    assert count.macs == rows["conv"].macs + rows["up"].macs
    assert count.other_macs == rows["warp"].macs + rows["correlation"].macs
    assert count.parameters == sum(p.numel() for p in Layers().parameters())


def test_a_layer_that_runs_twice_counts_twice_and_has_its_parameters_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 1, bias=False)

        def forward(self, data: dict[str, Any]) -> torch.Tensor:
            return self.conv(self.conv(data["img"]))

    count = count_ops(Twice(), (1, 6, 5, 7))
    assert (count.parameters, count.macs) == (36, 2 * 36 * 35)


@pytest.mark.parametrize(
    ("size", "use_res", "use_dense", "parameters", "gmac"),
    [
        ((384, 512), True, True, 14_079_050 + 13_432, 40.85),
        ((448, 1024), True, True, 14_079_050 + 13_432, 95.3),
        ((384, 512), False, True, 9_374_274 + 8_824, 36.05),
        ((384, 512), False, False, 4_705_064 + 8_824, 16.40),
    ],
)
def test_published_variants(
    size: tuple[int, int], use_res: bool, use_dense: bool, parameters: int, gmac: float
) -> None:
    config = Config.fromfile(
        CONFIG, {"model.head.use_res": use_res, "model.head.use_dense": use_dense}
    )
    count = count_ops(build_from_registry(config.model, "model"), (1, 6, *size))
    assert count.parameters == parameters
    assert count.macs / 1e9 == pytest.approx(gmac, abs=0.005 if gmac < 90 else 0.05)


def test_impossible_input_is_an_error() -> None:
    with pytest.raises(InputError, match="cannot evaluate an input of 1x5x8x8"):
        count_ops(Layers(), (1, 5, 8, 8))


def test_parameters_that_layers_share_count_once_and_their_work_each_time() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
            self.second.weight = self.first.weight

        def forward(self, data: dict[str, Any]) -> torch.Tensor:
            x: torch.Tensor = self.second(self.first(data["img"]))
            return x

    count = count_ops(Tied(), (1, 6, 4, 4))
    assert [layer.parameters for layer in count.layers] == [36 + 6, 6]
    assert count.parameters == sum(p.numel() for p in Tied().parameters()) == 48
    assert count.macs == 2 * 36 * 16
