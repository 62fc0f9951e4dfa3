"""The ends of published networks and their global pooling, with nothing changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.quantization import convert, prepare_calibration, trace
from tests.horizon.quantization.everywhere import leaves, program_of, trained


class Made(nn.Module):
    """Layers, and what a test makes of them."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make
        self.conv, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.linear = nn.Linear(8, 5)
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Any:
        return self.make(self, x)


def boxes_of_two_levels(m: Any, x: Tensor) -> Tensor:
    levels = m.out(m.conv(x)), m.out(functional.max_pool2d(m.conv(x), 2))
    flat = [y.permute(0, 2, 3, 1).contiguous().view(y.size(0), -1) for y in levels]
    joined = torch.cat(flat, 1)
    return joined.view(joined.size(0), -1, 4)


# Computed behind the program, which ends with int32 sums of a convolution.
BEHIND: dict[str, Any] = {
    "boxes by view": lambda m, x: (
        m.out(m.conv(x)).permute(0, 2, 3, 1).contiguous().view(x.size(0), -1, 4)
    ),
    "channels last": lambda m, x: m.out(m.conv(x)).permute(0, 2, 3, 1),
    "dense layers of channels that are last": lambda m, x: m.linear(m.conv(x).permute(0, 2, 3, 1)),
    "anchors": lambda m, x: m.out(m.conv(x)).view(-1, 2, 4, 6, 8).permute(0, 1, 3, 4, 2),
    "boxes of two levels": boxes_of_two_levels,
    "a gate by softmax": lambda m, x: m.out(m.conv(x)) * m.conv(x).softmax(1),
}


@pytest.mark.parametrize("name", BEHIND)
def test_movement_at_the_end_is_behind_the_program(name: str) -> None:
    torch.manual_seed(0)
    network, x = Made(BEHIND[name]).eval(), torch.randn(2, 3, 6, 8)
    training = trained(network, x)
    converted = convert(training, x)
    with torch.no_grad():
        found, wanted, real = converted(x), training(x), network(x)
    assert torch.equal(found, wanted)
    assert found.shape == real.shape
    assert (found - real).norm() < 0.02 * real.norm()
    graph = trace(converted, x)
    assert "int32" in [graph.tensors[name].dtype for name in graph.outputs]


INSIDE: dict[str, Any] = {
    "axes squeezed one by one": lambda m, x: m.linear(
        functional.adaptive_avg_pool2d(m.conv(x), 1).squeeze(-1).squeeze(-1)
    ),
    "an element of one pixel": lambda m, x: m.linear(
        functional.adaptive_avg_pool2d(m.conv(x), 1)[..., 0, 0]
    ),
    "the mean of a line": lambda m, x: m.linear(m.conv(x).flatten(2).mean(-1)),
    "the sum of a view": lambda m, x: m.linear(m.conv(x).view(x.size(0), 8, -1).sum(dim=2)),
    "the largest of a line": lambda m, x: m.linear(m.conv(x).flatten(2).max(-1)[0]),
    "a gate by the mean of a line": lambda m, x: (
        (y := m.conv(x)) * y.flatten(2).mean(-1, keepdim=True).unsqueeze(-1)
    ),
    "the sum of a stack": lambda m, x: m.out(torch.stack([m.conv(x), m.conv(x) * 2]).sum(0)),
    "the mean of a stack": lambda m, x: m.out(
        torch.stack([m.conv(x), x[:, :1] * 2 + m.conv(x)], 1).mean(1)
    ),
    "the largest of a stack": lambda m, x: m.out(torch.stack([m.conv(x), -m.conv(x)]).amax(0)),
    "the larger one of it and 0": lambda m, x: m.out(torch.max(m.conv(x), torch.zeros(1))),
    "between two numbers": lambda m, x: m.out(
        torch.minimum(torch.maximum(m.conv(x), torch.tensor(-0.1)), torch.tensor(0.5))
    ),
    "a constant like the image": lambda m, x: m.conv(x - m.mean.expand_as(x)),
    "a constant of its size": lambda m, x: m.conv(x - m.mean.expand(x.size(0), -1, -1, -1)),
    "a repeated constant": lambda m, x: m.conv(x * m.mean.repeat(x.shape[0], 1, 6, 8)),
    "a constant broadcast": lambda m, x: m.conv(x - torch.broadcast_to(m.mean, x.shape)),
}


@pytest.mark.parametrize("name", INSIDE)
def test_it_goes_through_unchanged(name: str) -> None:
    torch.manual_seed(0)
    network, x = Made(INSIDE[name]).eval(), torch.randn(2, 3, 6, 8)
    program_of(network, x)
    for real, near in zip(leaves(network(x)), leaves(trained(network, x)(x)), strict=True):
        assert real.shape == near.shape
        assert (real - near).norm() < 0.05 * real.norm()


def test_a_constant_is_for_any_number_of_images() -> None:
    network = Made(INSIDE["a constant of its size"]).eval()
    training = trained(network, torch.randn(2, 3, 6, 8))
    x = torch.randn(5, 3, 6, 8).clamp(-2, 2)
    with torch.no_grad():
        assert (training(x) - network(x)).norm() < 0.1 * network(x).norm()


class Options(nn.Module):
    """Arguments by name alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.more = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, image: Tensor, *, steps: int = 2, training: bool = False) -> Any:
        y = self.conv(image)
        for _ in range(steps):
            y = functional.relu(self.more(y)) + y
        return [y] if training else y


def test_arguments_by_name_alone_have_their_defaults() -> None:
    torch.manual_seed(0)
    program_of(Options().eval(), torch.randn(2, 3, 6, 8))


class Anything(Options):
    def forward(self, image: Tensor, **options: Any) -> Tensor:
        return self.conv(image) * options.get("gain", 2)


def softmax_in_the_middle(m: Any, x: Tensor) -> Tensor:
    return m.out(m.conv(x) * m.conv(x).softmax(1))


def compiled() -> Any:
    return torch.compile(Options())


@pytest.mark.parametrize(
    ("network", "images", "text"),
    [
        (
            lambda: Made(softmax_in_the_middle),
            2,
            r"joins .* follows from softmax \(.*use torch.sigmoid",
        ),
        (
            lambda: Made(lambda m, x: m.linear(m.conv(x).flatten(2).transpose(1, 2))[:, :3] * 2),
            2,
            r"Linear of a tensor \(2, 48, 8\): expected a flat tensor",
        ),
        (
            lambda: Made(
                lambda m, x: m.linear(functional.adaptive_avg_pool2d(m.conv(x), 1).squeeze())
            ),
            1,
            r"x.flatten\(1\) instead of x.squeeze\(\)",
        ),
        (Anything, 1, r"name the arguments that it takes by \*\*options"),
        (lambda: nn.DataParallel(Options()), 1, "found a DataParallel; expected the network in it"),
        (compiled, 1, "before torch.compile"),
        (lambda: torch.jit.script(nn.Conv2d(3, 8, 3)), 1, "before torch.jit"),
    ],
)
def test_what_is_refused_says_what_to_do(network: Any, images: int, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        prepare_calibration(network().eval(), torch.randn(images, 3, 6, 8), quiet=True)
    assert "in forward(): " not in str(caught.value)
