"""The convolutions with a quicker way against torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.nn import DilatedConv2d, NarrowConv2d, NarrowConvTranspose2d


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Output and the gradients to input, weight and bias for a fixed weighting of the output."""
    x = x.detach().requires_grad_()
    out = layer(x)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return [out, *torch.autograd.grad(out, [x, *layer.parameters()], weight)]


def compare(ours: nn.Module, plain: nn.Module, x: Tensor, tolerance: float) -> None:
    plain.load_state_dict(ours.state_dict())
    for found, expected in zip(results(ours, x), results(plain, x), strict=True):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        scale = expected.abs().max().item()
        torch.testing.assert_close(found, expected, atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("channels", [8, 63, 64, 130])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 3)])
def test_narrow_convolution(channels: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    ours = NarrowConv2d(channels, 2).double()
    compare(ours, nn.Conv2d(channels, 2, 3, padding=1).double(), x, 1e-12)


@pytest.mark.parametrize("channels", [2, 64, 97])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 3)])
def test_narrow_transposed_convolution(channels: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    ours = NarrowConvTranspose2d(channels, 2).double()
    compare(ours, nn.ConvTranspose2d(channels, 2, 4, 2, 1).double(), x, 1e-12)


def test_narrow_layers_sum_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 128, 6, 7)
    for layer in (NarrowConv2d(128, 2), NarrowConvTranspose2d(128, 2)):
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        assert out.dtype == torch.float32
        exact = layer(x)
        assert (out - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize("dilation", [1, 2, 4, 6, 8, 16])
@pytest.mark.parametrize("size", [(32, 32), (33, 50), (16, 40)])
def test_dilated_convolution(dilation: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, *size)
    ours = DilatedConv2d(5, 7, dilation=dilation)
    plain = nn.Conv2d(5, 7, 3, padding=dilation, dilation=dilation)
    compare(ours, plain, x, 1e-5)


def test_the_quick_ways_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above would not notice if the plain layer ran on both sides."""
    used: list[tuple[int, ...]] = []
    plain = functional.conv2d

    def spy(x: Tensor, weight: Tensor, *arguments: Any) -> Tensor:
        used.append(tuple(x.shape))
        return plain(x, weight, *arguments)

    monkeypatch.setattr(functional, "conv2d", spy)
    for dilation, height, images in ((8, 32, 16), (4, 32, 1), (8, 31, 1)):
        used.clear()
        DilatedConv2d(2, 3, dilation=dilation)(torch.zeros(1, 2, height, 40))
        assert [shape[0] for shape in used] == [images]
    folded: list[bool] = []
    fold = functional.fold
    monkeypatch.setattr(functional, "fold", lambda *a, **k: (folded.append(True), fold(*a, **k))[1])
    NarrowConv2d(64, 2)(torch.zeros(1, 64, 8, 8))
    assert folded == [True]


@pytest.mark.parametrize("kind", [NarrowConv2d, DilatedConv2d])
def test_even_kernels_are_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="kernel_size must be odd, found 4"):
        kind(3, 3, kernel_size=4)
