"""Stacks of convolutions and ReLUs that start as linear maps."""

from __future__ import annotations

import torch
from torch import nn

from hat.models.looks_linear import start_linear


def test_a_stack_is_linear_at_the_start() -> None:
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)]
    for index, conv in enumerate(convs):
        start_linear(conv, paired_input=index > 0)

    def values(x: torch.Tensor) -> torch.Tensor:
        for conv in convs:
            x = conv(x).relu()
        return x[:, :8] - x[:, 8:]

    a, b = torch.randn(2, 1, 3, 12, 12)
    with torch.no_grad():
        assert torch.allclose(values(a - 2 * b), values(a) - 2 * values(b), atol=1e-5)


def test_kept_values_are_handed_on() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, padding=1)
    start_linear(conv, paired_input=True, kept=2)
    values = torch.randn(1, 4, 6, 6)
    pairs = torch.cat([values.relu(), (-values).relu()], dim=1)
    with torch.no_grad():
        out = conv(pairs)
    assert torch.allclose(out[:, :2], values[:, :2], atol=1e-6)
    assert torch.allclose(out[:, 4:6], -values[:, :2], atol=1e-6)
