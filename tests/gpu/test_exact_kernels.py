"""The integer kernels give the same integers on every device: 0 differing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hat.engine.checkpoint import load_checkpoint
from horizon.hbir import reference, resized
from horizon.quantization import IntegerModel, program_graph
from horizon.quantization.arithmetic import kernels
from horizon.quantization.arithmetic.kernels import Geometry
from tests.conftest import ROOT


def draw(generator: torch.Generator, bits: int, *shape: int) -> Tensor:
    """Integers over the whole range, the largest negative one in the first place."""
    kind = {8: torch.int8, 16: torch.int16}[bits]
    limit = 2 ** (bits - 1)
    values = torch.randint(-limit, limit, shape, generator=generator).to(kind)
    values.view(-1)[0] = -limit
    return values


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("bits", "channels", "outputs", "geometry"),
    [
        (8, 24, 16, Geometry(padding=(1, 1))),
        (8, 300, 8, Geometry(padding=(1, 1))),  # sums beyond what float32 holds exactly
        (8, 32, 2, Geometry(padding=(1, 1))),
        (8, 24, 8, Geometry(padding=(4, 4), dilation=(4, 4))),
        (8, 6, 16, Geometry(stride=(2, 2), padding=(1, 1))),
        (16, 64, 8, Geometry(padding=(1, 1))),
        (8, 16, 2, Geometry(transposed=True, stride=(2, 2), padding=(1, 1))),
    ],
)
def test_accumulators(
    device: torch.device,
    generator: torch.Generator,
    bits: int,
    channels: int,
    outputs: int,
    geometry: Geometry,
) -> None:
    g = geometry
    x = draw(generator, bits, 2, channels, 24, 28)
    side = 4 if g.transposed else 3
    pair = (channels, outputs) if g.transposed else (outputs, channels)
    weight = draw(generator, 8, *pair, side, side)
    wide = x.double(), weight.double()
    expected = (
        functional.conv_transpose2d(*wide, None, g.stride, g.padding)
        if g.transposed
        else functional.conv2d(*wide, None, g.stride, g.padding, g.dilation)
    )
    ranges = kernels.channel_groups(weight, g, 2 ** (bits - 1))
    given = weight.to(device).float() if ranges else weight.to(device).double()
    parts = kernels.accumulate(x.to(device), given, g, ranges)
    total = torch.stack([part.double() for part in parts]).sum(0).cpu()
    assert expected.abs().max() > 2**17
    assert int((total != expected).sum()) == 0


def test_requantisation(device: torch.device, generator: torch.Generator) -> None:
    acc = torch.randint(-(2**30), 2**30, (2, 24, 16, 20), generator=generator).double()
    bias = torch.randint(-(2**20), 2**20, (24,), generator=generator)
    ratio = torch.randint(2**30, 2**31, (24,), generator=generator).double() * 2.0**-54
    other = draw(generator, 8, 2, 24, 16, 20)
    scaled = (acc + bias.view(-1, 1, 1)) * ratio.view(-1, 1, 1) + other.double() * 0.75
    expected = (scaled + 0.5).floor().clamp(-128, 127).to(torch.int8)
    found = kernels.requantize(
        [acc.to(device)],
        bias.to(device),
        ratio.to(device),
        -128,
        127,
        torch.int8,
        other.to(device),
        torch.tensor(0.75, dtype=torch.float64, device=device),
    )
    assert expected.unique().numel() == 256
    assert int((found.cpu() != expected).sum()) == 0


@pytest.mark.parametrize(("bits", "channels"), [(8, 24), (8, 1200), (16, 8)])
def test_cost_volumes(
    device: torch.device, generator: torch.Generator, bits: int, channels: int
) -> None:
    first, second = (draw(generator, bits, 1, channels, 9, 11) for _ in range(2))
    padded = functional.pad(second.double(), (3, 3, 3, 3))
    expected = torch.cat(
        [
            (first.double() * padded[..., dy : dy + 9, dx : dx + 11]).sum(1, keepdim=True)
            for dy in range(7)
            for dx in range(7)
        ],
        dim=1,
    )
    found = kernels.correlate(first.to(device), second.to(device), 3)
    assert int((found.double().cpu() != expected).sum()) == 0


def test_warping(device: torch.device, generator: torch.Generator) -> None:
    feature = draw(generator, 8, 2, 24, 16, 20)
    flow = torch.randint(-900, 900, (2, 2, 16, 20), generator=generator).to(torch.int16)
    found = [kernels.warp(feature.to(where), flow.to(where)) for where in ("cpu", device)]
    steps = kernels.requantize_offset(flow.to(device), 0.01, (16, 20)).cpu()
    assert int((found[0] != found[1].cpu()).sum()) == 0
    assert int((steps != kernels.requantize_offset(flow, 0.01, (16, 20))).sum()) == 0


PROGRAM = ROOT / "models/pwcnet_lite_generated/int_infer-checkpoint-best.pth.tar"


def program(path: Path) -> IntegerModel:
    return IntegerModel(program_graph(load_checkpoint(path)["program"]))


@pytest.mark.parametrize("batch", [1, 3])
def test_the_integer_model(device: torch.device, batch: int) -> None:
    """Every tensor of the shipped program: the GPU's against the CPU's, these against numpy's."""
    height, width = 128, 256
    image = torch.rand(
        batch, 6, height // 8, width // 8, generator=torch.Generator().manual_seed(1)
    )
    image = functional.interpolate(image, (height, width), mode="bilinear") * 1.9 - 0.95
    model = program(PROGRAM)
    expected = model.all_integers({"img": image})
    if device.type == "cpu":
        steps = np.floor(image.permute(0, 2, 3, 1).numpy() * 128 + 0.5).astype(np.int64)
        graph = resized(model.graph, batch, height, width)
        results = reference.run(graph, {model.input_name: steps})[model.output_name]
        wanted = torch.from_numpy(results).permute(0, 3, 1, 2)
        assert wanted.unique().numel() > 100
        assert int((expected[model.output_name].long() != wanted).sum()) == 0
        return
    found = program(PROGRAM).to(device).all_integers({"img": image.to(device)})
    assert found.keys() == expected.keys()
    differing = {k: int((found[k].cpu() != expected[k]).sum()) for k in expected}
    assert set(differing.values()) == {0}, {k: v for k, v in differing.items() if v}
