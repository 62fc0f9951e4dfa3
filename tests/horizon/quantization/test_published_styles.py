"""What published networks are written with, from float to every executor, with nothing changed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from horizon.errors import InputError
from horizon.quantization import finish_calibration, prepare_calibration, prepare_qat
from tests.horizon.quantization.everywhere import leaves, program_of, trained


class Made(nn.Module):
    """Layers by name, and what a test makes of them."""

    def __init__(self, make: Any, **layers: nn.Module) -> None:
        super().__init__()
        self.make = make
        self.conv, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1)
        self.scale, self.shift = (nn.Parameter(torch.rand(8) + 0.5) for _ in range(2))
        self.register_buffer("blur", torch.ones(8, 1, 3, 3) / 9)
        self.register_buffer("ramp", torch.linspace(-1, 1, 8))
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.make(self, x)


class SamePadding(nn.Conv2d):
    """Pads by what the sizes ask for when it runs."""

    def forward(self, x: Tensor) -> Tensor:
        sides = []
        for size, kernel, step in zip(
            x.size()[:-3:-1], self.weight.size()[:-3:-1], self.stride, strict=True
        ):
            more = max((math.ceil(size / step) - 1) * step + kernel - size, 0)
            sides += [more // 2, more - more // 2]
        x = functional.pad(x, sides) if any(side > 0 for side in sides) else x
        return functional.conv2d(x, self.weight, self.bias, self.stride)


class Standardised(nn.Conv2d):
    """A convolution whose weights have mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        deviation = weight.flatten(1).std(1).view(-1, 1, 1, 1) + 1e-5
        return functional.conv2d(x, weight / deviation, self.bias, padding=self.padding)


def crop_like(x: Tensor, other: Tensor) -> Tensor:
    if x.size()[2:] == other.size()[2:]:
        return x
    return x[:, :, : other.size(2), : other.size(3)]


def gated(m: Any, x: Tensor) -> Tensor:
    """Two steps of a recurrent unit whose first state is zeros."""
    x = m.conv(x)
    n, _, rows, columns = x.shape
    state = torch.zeros(n, 4, rows, columns, device=x.device)
    for _ in range(2):
        z, new = torch.split(m.gates(torch.cat([state, x], 1)), 4, 1)
        z = torch.sigmoid(z)
        state = (1 - z) * state + z * torch.tanh(new)
    return state


def in_place(m: Any, x: Tensor) -> Tensor:
    residual = x = m.conv(x)
    x = m.relu(x)  # changes the residual too
    x = m.more(x)
    x += residual
    return m.out(x)


def pooled_channels(m: Any, x: Tensor) -> Tensor:
    x = m.conv(x)
    largest, _ = torch.max(x, dim=1, keepdim=True)
    both = torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), 1)
    return m.out(x * torch.sigmoid(m.two(both)) + largest)


def channels_last(m: Any, x: Tensor) -> Tensor:
    x = m.conv(x)
    return x + (m.scale * m.wide(x.permute(0, 2, 3, 1)) + 1).permute(0, 3, 1, 2)


def decoder(m: Any, x: Tensor) -> Any:
    code = m.narrow(m.conv(x).view(-1, 8 * 6 * 8))
    return m.grow(m.unflatten(functional.relu(m.widen(code)))), code


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


STYLES: dict[str, Any] = {
    "a loop over parts": (
        lambda m, x: torch.cat(
            [f(p) for f, p in zip(m.each, m.conv(x).chunk(2, 1), strict=True)], 1
        ),
        {"each": nn.ModuleList([conv(4, 4), conv(4, 4, 1)])},
    ),
    "a list of parts": (
        lambda m, x: (
            (parts := list(m.conv(x).chunk(2, 1))).append(m.last(parts[-1])) or torch.cat(parts, 1)
        ),
        {"last": conv(4, 4)},
    ),
    "a branch on sizes": (
        lambda m, x: torch.cat((y := m.conv(x), crop_like(m.up(m.down(y)), y)), 1),
        {"down": nn.Conv2d(8, 8, 3, 2, 1), "up": nn.ConvTranspose2d(8, 4, 4, 2, 1)},
    ),
    "a first state of zeros": (gated, {"gates": conv(12, 8)}),
    "channels of zeros": (
        lambda m, x: (
            torch.cat([torch.zeros_like(y := m.conv(x)), y, y.new_zeros(y.shape)], 1) + m.wide(x)
        ),
        {"wide": conv(3, 24)},
    ),
    "constants made of sizes": (
        lambda m, x: m.conv((x - x.new_tensor([0.1, 0.2, 0.3])[None, :, None, None]) / 0.5),
        {},
    ),
    "changed in place": (in_place, {"relu": nn.ReLU(inplace=True), "more": conv(8, 8)}),
    "channel pooling without keepdim": (pooled_channels, {"two": conv(2, 1, 7)}),
    "means one after the other": (
        lambda m, x: m.linear(functional.relu(m.conv(x)).mean(-1).mean(-1)),
        {"linear": nn.Linear(8, 3)},
    ),
    "a gain of channels that come last": (channels_last, {"wide": nn.Linear(8, 8)}),
    "a decoder behind a linear layer": (
        decoder,
        {
            "narrow": nn.Linear(8 * 6 * 8, 5),
            "widen": nn.Linear(5, 8 * 3 * 4),
            "unflatten": nn.Unflatten(1, (8, 3, 4)),
            "grow": nn.ConvTranspose2d(8, 3, 3, 2, 1, 1),
        },
    ),
    "a sum of flat features": (
        lambda m, x: torch.sigmoid(m.linear(m.conv(x).flatten(1)).abs().sum(1, keepdim=True)),
        {"linear": nn.Linear(8 * 6 * 8, 5)},
    ),
    "padding from sizes": (lambda m, x: m.same(m.conv(x)), {"same": SamePadding(8, 4, 3, 2)}),
    "standardised weights": (
        lambda m, x: functional.relu(m.norm(m.made(x))),
        {"made": Standardised(3, 8, 3, padding=1), "norm": nn.BatchNorm2d(8)},
    ),
    "functions with weights": (
        lambda m, x: functional.conv2d(
            functional.batch_norm(m.conv(x), m.ramp * 0, m.ramp * 0 + 1, m.scale, m.shift),
            m.blur,
            stride=2,
            padding=1,
            groups=8,
        ),
        {},
    ),
    "computed weights": (
        lambda m, x: m.b(functional.leaky_relu(m.a(x), 0.2)),
        {
            "a": weight_norm(conv(3, 8)),
            "b": spectral_norm(conv(8, 8)),
        },
    ),
    "one convolution": (lambda m, x: functional.conv2d(x, m.conv.weight, m.conv.bias), {}),
}


def image() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 3, 6, 8)


@pytest.mark.parametrize("name", STYLES)
def test_it_goes_through_unchanged(name: str) -> None:
    torch.manual_seed(0)
    make, layers = STYLES[name]
    network, x = Made(make, **layers).eval(), image()
    program_of(network, x)
    prepared = prepare_calibration(network, x, quiet=True)
    prepared(x)
    found = leaves(prepare_qat(finish_calibration(prepared)).eval()(x))
    for real, near in zip(leaves(network(x)), found, strict=True):
        assert real.shape == near.shape
        assert (real - near).norm() < 0.05 * real.norm()


def test_what_follows_joined_levels_is_computed_behind_the_program() -> None:
    def boxes(m: Any, x: Tensor) -> Any:
        levels = [m.conv(x), m.coarse(x)]
        both = torch.cat([y.view(y.shape[0], 8, -1) for y in levels], 2)
        first, scores = both.split((4, 4), 1)
        return first * 2 - 1, scores.sigmoid()

    torch.manual_seed(0)
    network, x = Made(boxes, coarse=nn.Conv2d(3, 8, 3, 2, 1)).eval(), image()
    training = trained(network, x)
    for real, near in zip(network(x), training(x), strict=True):
        assert (real - near).norm() < 0.05 * real.norm()


def test_distances_at_the_end_are_computed_behind_the_program() -> None:
    def unit(m: Any, x: Tensor) -> Any:
        return functional.normalize(m.linear(m.conv(x).flatten(1)), dim=1)

    torch.manual_seed(0)
    network, x = Made(unit, linear=nn.Linear(8 * 6 * 8, 5)).eval(), image()
    assert (network(x) - trained(network, x)(x)).norm() < 0.05 * network(x).norm()


@pytest.mark.parametrize("norm", [weight_norm, nn.utils.weight_norm, nn.utils.spectral_norm])
def test_the_network_with_computed_weights_is_left_alone(norm: Any) -> None:
    network, x = nn.Sequential(norm(conv(3, 8))).eval(), image()
    before = network(x)  # the older functions keep a weight with a history
    found = prepare_calibration(network, x, quiet=True)(x)
    assert torch.equal(network(x), before)
    torch.testing.assert_close(found, before)


@pytest.mark.parametrize("several", [False, True])
def test_an_example_of_one_argument_may_be_a_tuple(several: bool) -> None:
    """As in ``torch.onnx.export``: (x,), and the tuple that a network takes as one argument."""

    def body(m: Any, x: Any) -> Any:
        return m.out(m.conv(x[0] if several else x))

    example = (image(), image()) if several else (image(),)
    network = Made(body).eval()
    given = example if several else image()
    found = prepare_calibration(network, example, quiet=True)(given)
    torch.testing.assert_close(found, network(given))


def with_first_channel(x: Tensor, value: float) -> Tensor:
    x[:, 0] = value
    return x


def test_a_refusal_names_the_line_of_the_network() -> None:
    def refused(m: Any, x: Tensor) -> Any:
        return m.out(functional.group_norm(m.conv(x), 2))

    line = refused.__code__.co_firstlineno + 1
    with pytest.raises(InputError, match=rf"test_published_styles.py:{line}\)"):
        prepare_calibration(Made(refused), image())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda m, x: m.out(m.conv(x) if x.sum() > 0 else x), "cannot be traced"),
        (lambda m, x: m.out(with_first_channel(m.conv(x), 0)), "join its parts by torch.cat"),
    ],
)
def test_a_branch_and_an_assignment_are_told_with_their_line(make: Any, text: str) -> None:
    line = make.__code__.co_firstlineno
    if "with_first_channel" in make.__code__.co_names:
        line = with_first_channel.__code__.co_firstlineno + 1
    with pytest.raises(InputError, match=text) as caught:
        prepare_calibration(Made(make), image())
    assert f"test_published_styles.py:{line}" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "text"), [((2, 5), "begin with x.flatten"), ((2, 3, 4, 6, 8), "frames as channels")]
)
def test_an_input_that_is_no_map_is_told(shape: tuple[int, ...], text: str) -> None:
    with pytest.raises(InputError, match=text):
        prepare_calibration(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), torch.rand(shape))
