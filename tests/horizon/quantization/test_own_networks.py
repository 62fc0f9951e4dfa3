"""Networks as people write them, from float to every executor, with nothing changed for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import resized
from horizon.quantization import IntegerModel, convert
from tests.horizon.quantization.everywhere import program_of, trained


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """Skip connections between maps of uneven sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low = block(3, 8), block(8, 16)
        self.up, self.high = nn.ConvTranspose2d(16, 8, 2, 2), block(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        up = self.up(self.low(functional.max_pool2d(skip, 2)))
        rows, columns = skip.size(2) - up.size(2), skip.size(3) - up.size(3)
        sides = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        return self.out(self.high(torch.cat([skip, functional.pad(up, sides)], dim=1)))


class Attention(nn.Module):
    """Of channels and of pixels (Woo et al., "CBAM", ECCV 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 13)
        self.shared = nn.Sequential(nn.Conv2d(13, 4, 1), nn.ReLU(), nn.Conv2d(4, 13, 1))
        self.pixels, self.out = nn.Conv2d(2, 1, 7, padding=3), nn.Conv2d(13, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        pooled = functional.adaptive_avg_pool2d(x, 1), functional.adaptive_max_pool2d(x, 1)
        x = x * torch.sigmoid(self.shared(pooled[0]) + self.shared(pooled[1]))
        found = [x.mean(1, keepdim=True), torch.max(x, 1, keepdim=True)[0]]
        return self.out(x * torch.sigmoid(self.pixels(torch.cat(found, dim=1))))


class Squeeze(nn.Module):
    """Linear layers between maps (Hu et al., "Squeeze-and-excitation networks", CVPR 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = block(3, 12), nn.Conv2d(12, 4, 1)
        self.first, self.second = nn.Linear(12, 4), nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        n, c, _, _ = x.size()
        y = functional.adaptive_avg_pool2d(x, 1).view(n, c)
        y = torch.sigmoid(self.second(functional.relu(self.first(y)))).view(n, c, 1, 1)
        return self.out(x * y.expand_as(x))


class Recurrent(nn.Module):
    """A convolutional gated unit that runs twice, as networks for flow refine."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1)
        self.update, self.reset, self.new = (nn.Conv2d(16, 8, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        state, x = torch.tanh(x), torch.relu(x)
        for _ in range(2):
            both = torch.cat([state, x], dim=1)
            z, r = torch.sigmoid(self.update(both)), torch.sigmoid(self.reset(both))
            q = torch.tanh(self.new(torch.cat([r * state, x], dim=1)))
            state = (1 - z) * state + z * q
        return self.out(state)


class Pyramid(nn.Module):
    """One head for several levels, which are added from the coarse to the fine ones."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList([block(3, 8, stride=2), block(8, 16, stride=2)])
        self.lateral = nn.ModuleList(nn.Conv2d(n, 8, 1) for n in (8, 16))
        self.head = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.levels[0](x)
        coarse = self.lateral[1](self.levels[1](fine))
        size = fine.shape[-2:]
        up = functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        return {"fine": self.head(self.lateral[0](fine) + up), "coarse": self.head(coarse)}


class Siamese(nn.Module):
    """One encoder for two images, whose features are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(block(3, 8, stride=2), block(8, 16, stride=2))
        self.shared, self.score = nn.Linear(16, 8), nn.Linear(16, 1)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.encoder(first), self.encoder(second)
        near = self.shared((a - b).abs().mean((2, 3)))
        far = self.shared(((a - b) ** 2).amax((2, 3)))
        return self.score(torch.cat([near, far], dim=1)), torch.minimum(a, b)


class Normalising(nn.Module):
    """Pixels are normalised within the network; activations of several kinds are multiplied."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1))
        self.stem, self.gain = block(3, 8), nn.Parameter(torch.rand(8, 1, 1))
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem((x - self.mean) / self.std)
        x = x + self.gain * torch.tanh(functional.softplus(x)) * x.abs()
        return self.out(x.mean([2, 3]))


class Stacked(nn.Module):
    """Two branches whose channels alternate."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = block(3, 8), block(3, 8, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.a(x), torch.roll(self.b(x), 1, dims=3)
        return self.out(torch.stack([first, second], dim=2).flatten(1, 2))


class Mixing(nn.Module):
    """Dense layers over the channels, which come last for them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.out = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 3, 1)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        y = x.permute(0, 2, 3, 1)
        y = y + self.narrow(functional.gelu(self.wide(y)))
        return self.out(x + y.permute(0, 3, 1, 2))


def images(*shapes: tuple[int, ...]) -> Any:
    torch.manual_seed(0)
    made = tuple(torch.randn(2, *shape) for shape in shapes)
    return made if len(made) > 1 else made[0]


NETWORKS = {
    UNet: (3, 10, 14),
    Attention: (3, 6, 8),
    Squeeze: (3, 6, 8),
    Recurrent: (3, 5, 8),
    Pyramid: (3, 16, 24),
    Normalising: (3, 8, 8),
    Stacked: (3, 6, 6),
    Mixing: (3, 6, 8),
}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_a_network_runs_everywhere_as_it_is(network: type[nn.Module]) -> None:
    program_of(settled(network(), example := images(NETWORKS[network])), example)


def test_one_encoder_of_two_images_is_fused_in_both_places() -> None:
    example = images((3, 8, 12), (3, 8, 12))
    graph = program_of(settled(Siamese(), example), example)
    assert sum(node.op == "conv2d" and node.attributes["groups"] == 1 for node in graph.nodes) == 7


def settled(network: nn.Module, example: Any) -> nn.Module:
    """With the statistics of the example, which leave something of the activations."""
    with torch.no_grad():
        for _ in range(3):
            network.train()(*example) if isinstance(example, tuple) else network.train()(example)
    return network.eval()


class Heads(nn.Module):
    """Two convolutions, and what a test makes of them."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.linear, self.make = nn.Linear(8 * 6 * 8, 10), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self, x)


# Each of these was wrong, or refused, in some way.
MADE: dict[str, Any] = {
    "a factor at the output": lambda m, x: functional.interpolate(m.a(x), scale_factor=2) * 2,
    "two scales of one tensor": lambda m, x: [(y := m.a(x).relu()) * 2, y],
    "a tensor and itself": lambda m, x: (y := m.a(x)) + y,
    "steps of a concatenation": lambda m, x: torch.cat([m.a(x)[:, :1] * 2, x[:, 1:2].relu()], 1)[
        :, 1::2, ::2
    ],
    "two names of one tensor": lambda m, x: {"a": (y := m.a(x)), "b": y},
    "flat and back": lambda m, x: m.b(x) + (m.a(x).flatten(1) * 2 + 1).view(-1, 8, 6, 8),
    "a stack of two scales": lambda m, x: functional.avg_pool2d(
        torch.stack([m.a(x), m.b(x) * 2], 2).flatten(1, 2), 2
    ),
    "rows times columns": lambda m, x: m.a(x).mean(2, keepdim=True) * m.b(x).mean(3, keepdim=True),
    "another name of dim": lambda m, x: torch.cat([m.a(x), m.b(x)], axis=1).clamp_min(-0.1),
}
# What comes behind the program: its integers are those of the layers before.
BEHIND: dict[str, Any] = {
    "groups of scores": lambda m, x: m.linear(m.a(x).flatten(1)).view(-1, 5, 2).softmax(2),
    "some scores": lambda m, x: m.linear(m.a(x).flatten(1))[:, :4],
    "boxes of two levels": lambda m, x: torch.cat(
        [y.permute(0, 2, 3, 1).reshape(y.shape[0], -1, 4) for y in (m.a(x), m.b(x))], 1
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_the_model_gives_what_the_network_gives(name: str) -> None:
    torch.manual_seed(0)
    program_of(Heads(MADE[name]), images((3, 6, 8)))


@pytest.mark.parametrize("name", BEHIND)
def test_what_comes_behind_the_program(name: str) -> None:
    torch.manual_seed(0)
    network, example = Heads(BEHIND[name]).eval(), images((3, 6, 8))
    training = trained(network, example)
    with torch.no_grad():
        found, wanted = convert(training)(example), training(example)
        assert torch.equal(found, wanted)
        assert (found - network(example)).abs().max() < 0.05 * network(example).abs().max()


@pytest.mark.parametrize(
    "make",
    [
        lambda m, x: (y := m.a(x)) / y.shape[2],
        lambda m, x: functional.interpolate(m.a(x), size=(12, 8)),
        lambda m, x: m.a(x).view(-1, 2, 4, 6, 8).transpose(1, 2).reshape(-1, 8, 6, 8) + m.b(x),
    ],
)
def test_what_computes_with_sizes_is_for_one_size(make: Any) -> None:
    torch.manual_seed(0)
    graph = program_of(Heads(make), images((3, 6, 8)))
    with pytest.raises(InputError, match=r"images of 12 x 8; expected 6 x 8"):
        IntegerModel(graph)(torch.rand(1, 3, 12, 8))
    with pytest.raises(InputError, match=r"images of 12 x 16; expected 6 x 8"):
        resized(graph, 1, 12, 16)


def test_arguments_that_the_example_leaves_out() -> None:
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor, mask: Tensor | None = None, flip: bool = False) -> Tensor:
            y = self.conv(x)
            if mask is not None:
                y = y * mask
            return y.flip(3) if flip else y

    torch.manual_seed(0)
    graph = program_of(Optional(), images((3, 6, 8)))
    assert [node.op for node in graph.nodes] == ["conv2d"]


def test_one_normalisation_behind_two_convolutions() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.a(x)).relu() - self.norm(self.b(x))

    example = images((3, 6, 8))
    graph = program_of(settled(Shared(), example), example)
    assert len(graph.nodes) == 3


def test_weights_of_two_layers_that_are_one_tensor_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1))
    network[2].weight = network[0].weight
    program_of(network, images((3, 6, 8)))
    assert "0.weight, 2.weight are one tensor" in caplog.text


def test_a_cut_batch_comes_in_multiples() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            first, second = self.conv(x).chunk(2, 0)
            return first - second

    torch.manual_seed(0)
    model = IntegerModel(program_of(Pairs(), images((3, 6, 8))))
    assert model(torch.rand(4, 3, 6, 8)).shape == (2, 4, 4, 6)
    with pytest.raises(InputError, match="3 images in img; expected a multiple of 2"):
        model(torch.rand(3, 3, 6, 8))
