"""``F.grid_sample`` in plain networks: which grids are warps, and every executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import resized
from horizon.nn import GridSample
from horizon.nn.grid_sample import warp
from horizon.quantization import prepare_calibration, quantisable
from tests.horizon.quantization.everywhere import program_of
from tests.horizon.quantization.executors import check_exports
from tests.horizon.quantization.small_models import images

H, W = 12, 16


def pixels(flow: Tensor) -> Tensor:
    """The positions of the pixels, (1, 2, H, W)."""
    h, w = flow.shape[2:]
    xx = torch.arange(0, w).view(1, -1).repeat(h, 1)
    yy = torch.arange(0, h).view(-1, 1).repeat(1, w)
    return torch.cat((xx.view(1, 1, h, w), yy.view(1, 1, h, w)), 1).float()


def sample(x: Tensor, grid: Tensor, aligned: bool = True, **options: Any) -> Tensor:
    return functional.grid_sample(x, grid, align_corners=aligned, **options)


def stacked(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    b, _, h, w = x.size()
    grid = pixels(flow).repeat(b, 1, 1, 1)
    if x.is_cuda:
        grid = grid.cuda()
    places = grid + flow
    u = 2.0 * places[:, 0, :, :] / max(w - 1, 1) - 1.0
    v = 2.0 * places[:, 1, :, :] / max(h - 1, 1) - 1.0
    return sample(x, torch.stack((u, v), dim=3), mode="bilinear", padding_mode="zeros")


def assigned(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    b, _, h, w = x.size()
    places = pixels(flow).expand(b, -1, -1, -1).type_as(x) + flow
    places[:, 0, :, :] = 2.0 * places[:, 0, :, :].clone() / max(w - 1, 1) - 1.0
    places[:, 1, :, :] = 2.0 * places[:, 1, :, :].clone() / max(h - 1, 1) - 1.0
    return sample(x, places.permute(0, 2, 3, 1))


def buffered(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    sizes = torch.tensor([W - 1, H - 1]).view(1, 2, 1, 1)
    return sample(x, ((net.places + flow) * 2 / sizes - 1).permute(0, 2, 3, 1))


def normalised(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    n, _, h, w = flow.shape
    across = torch.linspace(-1.0, 1.0, w, device=flow.device).view(1, 1, 1, w).expand(n, -1, h, -1)
    down = torch.linspace(-1.0, 1.0, h, device=flow.device).view(1, 1, h, 1).expand(n, -1, -1, w)
    base = torch.cat([across, down], 1)
    step = torch.cat([flow[:, 0:1] / ((w - 1.0) / 2), flow[:, 1:2] / ((h - 1.0) / 2)], 1)
    return sample(x, (base + step).permute(0, 2, 3, 1))


def bilinear_sampler(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    h, w = x.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    coords = torch.stack([columns, rows], dim=0).float()[None]
    coords = (coords + flow).permute(0, 2, 3, 1)
    xgrid, ygrid = coords.split([1, 1], dim=-1)
    grid = torch.cat([2 * xgrid / (w - 1) - 1, 2 * ygrid / (h - 1) - 1], dim=-1)
    return sample(x, grid)


def unaligned(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    h, w = x.shape[-2:]
    place = pixels(flow) + flow
    u, v = (2 * place[:, 0] + 1) / w - 1, (2 * place[:, 1] + 1) / h - 1
    return sample(x, torch.stack([u, v], -1), False)


def in_place(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    place = (pixels(flow) + flow).permute(0, 2, 3, 1)
    place[..., 0] /= (W - 1) / 2
    place[..., 1] /= (H - 1) / 2
    place -= 1
    return sample(x, place)


def scaled(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    return stacked(net, x, flow * 20 / 2**3)


def backwards(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    return stacked(net, x, -flow.flip(1))


def fraction(net: Any, x: Tensor, flow: Tensor) -> Tensor:
    """A flow in fractions of the map."""
    return sample(x, (pixels(flow) / SIDES * 2 - 1 + flow).permute(0, 2, 3, 1))


SIDES = torch.tensor([W - 1.0, H - 1.0]).view(1, 2, 1, 1)


class Network(nn.Module):
    """Features, a flow of them by a convolution, and the warped features convolved."""

    def __init__(self, body: Any, channels: int = 2, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.flow = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, channels, 3, 1, 1)
        self.last = nn.Conv2d(5, 3, 3, padding=1)
        with torch.no_grad():
            self.flow.weight.mul_(10 * gain)
        self.register_buffer("places", pixels(torch.zeros(1, 2, H, W)))
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.features(x))
        return self.last(self.body(self, x, self.flow(x)))


FORMS = {
    "stacked": (stacked, 1.0, True),
    "assigned": (assigned, 1.0, True),
    "buffer": (buffered, 1.0, False),
    "normalised": (normalised, 1.0, True),
    "last axis": (bilinear_sampler, 1.0, True),
    "corners": (unaligned, 1.0, True),
    "in place": (in_place, 1.0, False),
    "scaled": (scaled, 0.4, True),
}


@pytest.mark.parametrize(("body", "gain", "any_size"), FORMS.values(), ids=FORMS)
def test_a_warp_by_a_flow(body: Any, gain: float, any_size: bool, tmp_path: Path) -> None:
    network = Network(body, gain=gain).eval()
    x = images(2, H, W)
    found = quantisable(network, x)
    assert sum(isinstance(m, GridSample) for m in found.modules()) == 1
    graph = program_of(network, x[:1])
    ops = [node.op for node in graph.nodes]
    assert ops == ["conv2d", "conv2d", "warp", "conv2d"]
    check_exports(graph, tmp_path)
    assert bool(graph.attributes.get("one_size")) != any_size
    if any_size:
        larger = images(1, 2 * H, W + 4)
        torch.testing.assert_close(found(larger), network(larger), atol=1e-4, rtol=1e-4)
        assert resized(graph, 1, 2 * H, W + 4)
