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
from horizon.quantization import convert, prepare_calibration, quantisable, trace
from tests.horizon.quantization.everywhere import program_of, trained
from tests.horizon.quantization.executors import check_exports
from tests.horizon.quantization.small_models import images

H, W = 6, 8


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


def disparity(net: Any, x: Tensor, left: Tensor) -> Tensor:
    """A disparity moves columns only, to the left."""
    h, w = x.shape[-2:]
    columns = torch.linspace(0, w - 1, w)[None, None] - left.squeeze(1)
    rows = torch.linspace(-1, 1, h).view(1, h, 1).expand_as(columns)
    return sample(x, torch.stack((2 * columns / (w - 1) - 1, rows), dim=3))


def bidirectional(net: Any, x: Tensor, flows: Tensor) -> Tensor:
    return (stacked(net, x, flows[:, :2]) + assigned(net, x, flows[:, 2:])) / 2


SIDES = torch.tensor([W - 1.0, H - 1.0]).view(1, 2, 1, 1)


class Network(nn.Module):
    """Features, a flow of them by a convolution, and the warped features convolved."""

    def __init__(self, body: Any, channels: int = 2, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.flow = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, channels, 3, 1, 1)
        self.last = nn.Conv2d(3, 3, 1)
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
MULTIPLIED = {  # a convolution gives the offset
    "backwards": (backwards, 2, 1.0, True),
    "fractions": (fraction, 2, 0.2, False),
    "disparity": (disparity, 1, 1.0, True),
    "bidirectional": (bidirectional, 4, 1.0, True),
}


@pytest.mark.parametrize(("body", "gain", "any_size"), FORMS.values(), ids=FORMS)
def test_a_warp_by_a_flow(body: Any, gain: float, any_size: bool) -> None:
    network, x = Network(body, gain=gain).eval(), images(1, H, W)
    graph = trace(convert(trained(network, x), x), x)
    assert [node.op for node in graph.nodes] == ["conv2d", "conv2d", "warp", "conv2d"]
    assert graph.tensors[graph.nodes[1].output].dtype == "int16"
    assert bool(graph.attributes.get("one_size")) != any_size
    if any_size:
        larger = images(1, 2 * H, W + 4)
        found = quantisable(network, images(1, H, W))(larger)
        torch.testing.assert_close(found, network(larger), atol=1e-4, rtol=1e-4)
        assert resized(graph, 1, 2 * H, W + 4)


@pytest.mark.parametrize(
    ("body", "channels", "gain", "any_size"), MULTIPLIED.values(), ids=MULTIPLIED
)
def test_a_multiple_of_a_flow(
    body: Any, channels: int, gain: float, any_size: bool, tmp_path: Path
) -> None:
    graph = program_of(Network(body, channels, gain).eval(), images(1, H, W))
    warps = [node for node in graph.nodes if node.op == "warp"]
    assert warps
    assert all(graph.tensors[node.inputs[1]].dtype == "int16" for node in warps)
    assert bool(graph.attributes.get("one_size")) != any_size
    check_exports(graph, tmp_path)


def test_other_grids_are_refused_with_their_places() -> None:
    def all_of_them(net: Any, x: Tensor, flow: Tensor) -> Tensor:
        place = pixels(flow) + flow
        aligned = (place / SIDES * 2 - 1).permute(0, 2, 3, 1)
        y = sample(x, aligned, padding_mode="border")
        y = y + sample(x, aligned, False)
        y = y + sample(x, aligned, mode="nearest")
        y = y + sample(x, aligned[:, ::2, ::2]).repeat_interleave(2, 2).repeat_interleave(2, 3)
        y = y + sample(x, aligned.clamp(-1, 1))
        y = y + sample(x, aligned + flow.mean())
        return y * sample(torch.ones_like(x), aligned)

    with pytest.raises(InputError) as raised:
        prepare_calibration(Network(all_of_them).eval(), images(1, H, W))
    first, *lines = str(raised.value).split("\n")
    assert first == "7 warp(s) have no fixed-point form:"
    expected = ["padding_mode 'border'", "as for align_corners=True", "mode 'nearest'"]
    expected += ["at 3x4 places", "of another form", "of another form", "samples a constant"]
    for line, text in zip(lines, expected, strict=True):
        assert text in line
        assert "test_warps.py:" in line


def test_a_grid_of_the_pixels_alone_is_none() -> None:
    body = lambda net, x, flow: stacked(net, x, torch.zeros_like(flow)) + flow[:, :1]  # noqa: E731
    found = quantisable(Network(body).eval(), images(1, H, W))
    assert not any(isinstance(m, GridSample) for m in found.modules())

    def moved(net: Any, x: Tensor, flow: Tensor) -> Tensor:
        return stacked(net, x, torch.ones_like(flow)) + flow[:, :1]

    with pytest.raises(InputError, match="depends on no flow"):
        quantisable(Network(moved).eval(), images(1, H, W))


class Keeping(nn.Module):
    """Keeps its grids by the size of the map, and has a flow that other layers read too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.flow, self.wide = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 3, 7, padding=3)
        self.grids: dict[str, Tensor] = {}
        with torch.no_grad():
            self.flow.weight.mul_(10)

    def warped(self, x: Tensor, flow: Tensor) -> Tensor:
        if str(flow.shape) not in self.grids:
            h, w = flow.shape[2:]
            across = torch.linspace(-1.0, 1.0, w).view(1, 1, 1, -1).repeat(1, 1, h, 1)
            down = torch.linspace(-1.0, 1.0, h).view(1, 1, -1, 1).repeat(1, 1, 1, w)
            self.grids[str(flow.shape)] = torch.cat([across, down], 1)
        u = flow[:, 0:1] / ((x.shape[3] - 1.0) / 2.0)
        v = flow[:, 1:2] / ((x.shape[2] - 1.0) / 2.0)
        grid = self.grids[str(flow.shape)] + torch.cat([u, v], 1)
        return sample(x, grid.permute(0, 2, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        flow = self.flow(x)
        return self.warped(x, flow) + torch.tanh(flow) + self.wide(flow)[:, :2]


def test_an_assignment_to_a_part_of_features_is_refused() -> None:
    def cleared(net: Any, x: Tensor, flow: Tensor) -> Tensor:
        x[:, 0] = 0
        return x

    with pytest.raises(InputError, match=r"assignment to a part .* torch\.cat"):
        prepare_calibration(Network(cleared).eval(), images(1, H, W))


def test_other_layers_read_a_flow_in_8_bits() -> None:
    graph = program_of(Keeping().eval(), images(1, H, W))
    bits = {node.op: graph.tensors[node.inputs[0]].dtype for node in graph.nodes}
    assert bits["lookup"] == bits["conv2d"] == "int8"
    (warped,) = (node for node in graph.nodes if node.op == "warp")
    assert graph.tensors[warped.inputs[1]].dtype == "int16"


def test_a_flow_by_a_layer_of_8_bits() -> None:
    body = lambda net, x, flow: stacked(net, x, torch.tanh(flow) * 3)  # noqa: E731
    graph = program_of(Network(body).eval(), images(1, H, W))
    (warped,) = (node for node in graph.nodes if node.op == "warp")
    assert graph.tensors[warped.inputs[1]].dtype == "int16"


def test_a_flow_from_outside() -> None:
    class Outside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: Tensor, flow: Tensor) -> Tensor:
            return self.conv(stacked(self, x, flow))

    flow = images(1, H, W, seed=1) * 4
    graph = program_of(Outside(), (images(1, H, W), flow))
    assert [graph.tensors[name].dtype for name in graph.inputs] == ["int8", "int16"]
