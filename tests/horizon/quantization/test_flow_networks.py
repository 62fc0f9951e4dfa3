"""Whole flow networks of plain PyTorch: trained a step, converted, compiled, run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hat.deploy.build import compile_model
from horizon import hbm
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.quantization import IntegerModel, check_prepared, convert, trace
from horizon.runtime import Model
from tests.horizon.quantization.everywhere import program_of, trained
from tests.horizon.quantization.small_models import images
from tests.horizon.quantization.test_warps import assigned, normalised

SIZE = 32


def level(inputs: int, kernel: int, channels: int) -> nn.Sequential:
    pad = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, channels, kernel, padding=pad),
        nn.ReLU(),
        nn.Conv2d(channels, 2, kernel, padding=pad),
    )


class Spynet(nn.Module):
    """A pyramid of images, a flow of zeros at first, and 7x7 convolutions at each level."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.nets = nn.ModuleList(level(8, 7, 8) for _ in range(3))

    def forward(self, pair: Tensor) -> Tensor:
        first, second = [pair[:, :3]], [pair[:, 3:]]
        for _ in range(2):
            first.insert(0, functional.avg_pool2d(first[0], 2, 2))
            second.insert(0, functional.avg_pool2d(second[0], 2, 2))
        n, _, h, w = first[0].shape
        flow = first[0].new_zeros(n, 2, h // 2, w // 2)
        for net, a, b in zip(self.nets, first, second, strict=True):
            up = functional.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            up = up * 2.0
            flow = net(torch.cat([a, normalised(self, b, up), up], 1)) + up
        return flow


def cost_volume(first: Tensor, second: Tensor, reach: int) -> Tensor:
    h, w = first.shape[2:]
    padded = functional.pad(second, [reach] * 4)
    costs = []
    for dy in range(2 * reach + 1):
        for dx in range(2 * reach + 1):
            shifted = padded[:, :, dy : dy + h, dx : dx + w]
            costs.append((first * shifted).mean(1, keepdim=True))
    return functional.leaky_relu(torch.cat(costs, 1), 0.1)


class Pwcnet(nn.Module):
    """A pyramid of features, and at each of two levels a warp and a cost volume."""

    def __init__(self, aligned: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.down = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.coarse, self.fine = level(9 + 8, 3, 8), level(9 + 8 + 2, 3, 8)
        self.aligned = aligned

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = functional.leaky_relu(self.stem(x), 0.1)
        return fine, functional.leaky_relu(self.down(fine), 0.1)

    def forward(self, pair: Tensor) -> dict[str, Tensor]:
        fine1, coarse1 = self.features(pair[:, :3])
        fine2, coarse2 = self.features(pair[:, 3:])
        flow = self.coarse(torch.cat([cost_volume(coarse1, coarse2, 1), coarse1], 1))
        up = 2 * functional.interpolate(
            flow, scale_factor=2, mode="bilinear", align_corners=self.aligned
        )
        warped = assigned(self, fine2, up * 5.0)
        costs = cost_volume(fine1, warped, 1)
        return {"coarse": flow, "fine": up + self.fine(torch.cat([costs, fine1, up], 1))}


NETWORKS = {
    "spynet": Spynet,
    "pwcnet": Pwcnet,
    "pwcnet, aligned corners": lambda: Pwcnet(True),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_every_executor_gives_the_same(make: Any, tmp_path: Path) -> None:
    network, pair = make().eval(), images(1, SIZE, SIZE, channels=6)
    training = trained(network, pair)
    converted = convert(training, pair)
    with torch.no_grad():
        wanted, found = network(pair), converted(pair)
    integers = IntegerModel(trace(converted, pair))
    for a, b in zip(_leaves(wanted), _leaves(found), strict=True):
        assert (a - b).abs().max() < 0.1 * a.abs().max()
    export_integer(integers.graph, tmp_path / "integers.onnx")
    checked = check_integer(tmp_path / "integers.onnx", integers.graph, np.random.default_rng(0))
    assert not any(each.differing for each in checked)
    assert not [each for each in check_prepared(network, pair) if each.is_error]
    expected = _leaves(integers.integers(pair))
    for march in ("host", "nash-e"):
        program = compile_model(integers, (SIZE, SIZE), march=march, input_type="int8").program
        model = Model(hbm.to_bytes(program))
        (entry,) = model.inputs
        steps = (pair / entry.scales[0] + 0.5).floor().clip(-128, 127).to(torch.int8)
        given = model.run({entry.name: steps.numpy()})
        for output, numbers in zip(model.outputs, expected, strict=True):
            np.testing.assert_array_equal(given[output.name], numbers.numpy())


def _leaves(output: Any) -> list[Tensor]:
    return list(output.values()) if isinstance(output, dict) else [output]


def test_a_cost_volume_in_every_executor() -> None:
    class Volume(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3, padding=1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return cost_volume(self.conv(x), self.conv(y), 1)

    program_of(Volume(), (images(1, 3, 4), images(1, 3, 4, seed=1)))
