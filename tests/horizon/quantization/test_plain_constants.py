"""Constants in plain networks: what becomes one layer, what is fused, and every executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph
from horizon.quantization import (
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    quantisable,
    trace,
)
from horizon.quantization.fuse import FusedConv
from tests.horizon.quantization.executors import assert_every_executor
from tests.horizon.quantization.small_models import images


class Network(nn.Module):
    """A body with constants of every form, on a convolution's result."""

    def __init__(self, body: Any, channels: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.plain_bn = nn.BatchNorm2d(channels, affine=False)
        for norm in (self.bn, self.plain_bn):
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
        self.up = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.linear = nn.Linear(channels, 6)
        self.register_buffer("mean", torch.randn(1, channels, 1, 1))
        self.std = nn.Parameter(torch.rand(channels, 1, 1) + 0.5)
        self.gamma = nn.Parameter(torch.randn(channels, 1, 1))
        self.beta = nn.Parameter(torch.rand(channels) + 0.5)
        self.frozen = nn.Parameter(torch.tensor(1.5), requires_grad=False)
        self.six = nn.Parameter(torch.randn(6))
        self.pixels = nn.Parameter(torch.randn(1, channels, 4, 6))
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def whole(net: Any, x: Any) -> Any:
    return (x - net.mean) / net.std * net.gamma + net.beta.view(1, -1, 1, 1)


def stages(body: Any, data: Tensor, channels: int = 5) -> tuple[Network, nn.Module, Graph]:
    """The network, what is trained, and its program: near the float network, gradients for all."""
    model = Network(body, channels).eval()
    prepared = prepare_calibration(model, data, quiet=True)
    with torch.no_grad():
        torch.testing.assert_close(prepared(data), model(data), atol=1e-4, rtol=1e-4)
    training = prepare_qat(finish_calibration(prepared)).train()
    training(data).square().mean().backward()
    for name, parameter in training.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all()), name
    training.zero_grad()
    converted = convert(training.eval())
    with torch.no_grad():
        found, expected = converted(data), model(data)
        assert torch.equal(found, training(data))
    assert (found - expected).abs().max() < 0.06 * expected.abs().max()
    return model, training, trace(converted)


MEAN = ["adaptive_avg_pool2d"]
# A body, how many layers with weights its program has, and the other nodes.
BODIES: dict[str, tuple[Any, int, list[str]]] = {
    "behind a convolution": (lambda n, x: whole(n, n.conv(x)), 1, []),
    "behind a normalisation": (lambda n, x: whole(n, n.bn(n.conv(x))), 1, []),
    "behind one without parameters": (lambda n, x: whole(n, n.plain_bn(n.conv(x))).relu(), 1, []),
    "before one": (lambda n, x: n.bn(whole(n, n.conv(x))).relu(), 1, []),
    "of the input": (lambda n, x: n.conv((x - 0.2) / 0.5), 2, []),
    "behind an activation": (lambda n, x: functional.relu6(1 - whole(n, n.conv(x).relu())), 2, []),
    "a sum behind": (lambda n, x: (whole(n, n.conv(x)) + n.conv(x)).relu(), 3, []),
    "abs": (lambda n, x: (n.conv(x) - n.mean).abs(), 1, []),
    "only a scale": (lambda n, x: functional.max_pool2d(n.conv(x), 2) * 0.5 / 3, 1, ["max_pool2d"]),
    "a scale between": (lambda n, x: (n.conv(x) * 0.5).relu(), 1, []),
    "a number that is frozen": (lambda n, x: n.conv(x).sigmoid() * n.frozen, 2, ["lookup"]),
    "two uses": (lambda n, x: torch.cat([(y := 1 - n.conv(x).relu()), -y], 1), 3, ["concat"]),
    "transposed": (lambda n, x: n.up(n.conv(x)) * n.gamma - 1, 2, []),
    "more channels": (lambda n, x: x[:, :1] * n.gamma - n.mean, 1, ["slice"]),
    "by names": (lambda n, x: torch.add(torch.neg(n.conv(x)), other=n.mean), 1, []),
    "in place": (lambda n, x: n.conv(x).add_(1).mul_(n.gamma).neg_(), 1, []),
    "of constants": (lambda n, x: n.conv(x) * (n.gamma / n.std).exp() + n.beta.mean(), 1, []),
    "flat": (lambda n, x: n.linear(n.conv(x).mean((2, 3))) * 0.5 - n.six, 2, MEAN),
    "flat, alone": (lambda n, x: 1 - n.conv(x).mean((2, 3)).mul(n.beta), 2, MEAN),
    "flat sums": (lambda n, x: n.linear(n.conv(x).sum((2, 3))), 2, MEAN),
    "flat maximum": (lambda n, x: n.linear(n.conv(x).amax((2, 3))), 2, ["adaptive_max_pool2d"]),
}
WEIGHTS = ("conv2d", "conv_transpose2d")


@pytest.mark.parametrize(("body", "weights", "others"), BODIES.values(), ids=BODIES)
def test_what_a_program_has(body: Any, weights: int, others: list[str], tmp_path: Path) -> None:
    _, _, graph = stages(body, images(2, 4, 6))
    found = [node.op for node in graph.nodes]
    assert [op for op in found if op not in WEIGHTS] == others
    assert sum(op in WEIGHTS for op in found) == weights
    assert_every_executor(graph, tmp_path)


@pytest.mark.parametrize(
    ("channels", "size"), [(1, (1, 5)), (3, (7, 1)), (31, (1, 9)), (33, (3, 5))]
)
def test_any_size(channels: int, size: Any, tmp_path: Path) -> None:
    def body(net: Any, x: Any) -> Any:
        return abs(whole(net, functional.relu(net.conv(x))))

    _, _, graph = stages(body, images(2, *size), channels)
    assert_every_executor(graph, tmp_path)


def test_what_trained_goes_on_training_and_nothing_else() -> None:
    example = images(1, 4, 6)
    (conv,) = _convolutions(lambda net, x: net.conv(x) * net.frozen, example)
    assert conv.weight.requires_grad
    alone = _convolutions(lambda net, x: net.conv(x).sigmoid() * net.frozen, example)[-1]
    assert not alone.weight.requires_grad
    alone = _convolutions(lambda net, x: net.conv(x).sigmoid() * net.gamma, example)[-1]
    assert alone.weight.requires_grad
    assert alone.groups == 5


def _convolutions(body: Any, example: Tensor) -> list[nn.Conv2d]:
    found = quantisable(Network(body).eval(), example)
    return [m for m in found.modules() if isinstance(m, nn.Conv2d)]


def test_they_are_fused_with_what_follows() -> None:
    found = quantisable(
        Network(lambda net, x: functional.relu6(1 - net.conv(x).sigmoid())).eval(), images(1, 4, 6)
    )
    (fused,) = (m for m in found.modules() if isinstance(m, FusedConv))
    assert isinstance(fused.act, nn.ReLU6)
    assert fused.conv.groups == 5


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (lambda n, x: n.conv(x) + n.pixels, r"\+' of a quantised tensor .* and a plain tensor"),
        (lambda n, x: n.conv(x) / 0, "divided by 0"),
        (lambda n, x: n.conv(x) / (n.mean * 0), "a constant with zeros in it"),
        (lambda n, x: n.conv(x) - float("nan"), "nan: not finite"),
    ],
)
def test_what_has_no_form_is_told_with_its_place(body: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        prepare_calibration(Network(body).eval(), images(1, 4, 6), quiet=True)
