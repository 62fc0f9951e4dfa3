"""The warp against a loop over pixels and taps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from horizon.nn import GridSample


def loop_warp(feature: Tensor, offset: Tensor) -> Tensor:
    """Four taps per pixel, 0 outside of the map."""
    images, _, height, width = feature.shape
    out = torch.zeros_like(feature)
    for n in range(images):
        for y in range(height):
            for x in range(width):
                at_x = x + float(offset[n, 0, y, x])
                at_y = y + float(offset[n, 1, y, x])
                left, top = math.floor(at_x), math.floor(at_y)
                a, b = at_x - left, at_y - top
                for row, column, weight in (
                    (top, left, (1 - a) * (1 - b)),
                    (top, left + 1, a * (1 - b)),
                    (top + 1, left, (1 - a) * b),
                    (top + 1, left + 1, a * b),
                ):
                    if 0 <= row < height and 0 <= column < width:
                        out[n, :, y, x] += weight * feature[n, :, row, column]
    return out


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (1, 4, 1, 9), (2, 2, 11, 1)])
@pytest.mark.parametrize("reach", [0.4, 3.0, 50.0])
def test_equals_the_loop(shape: tuple[int, int, int, int], reach: float) -> None:
    n, _, height, width = shape
    feature, offset = draw(*shape), reach * draw(n, 2, height, width)
    torch.testing.assert_close(GridSample()(feature, offset), loop_warp(feature, offset))


def test_offset_is_x_then_y_in_pixels() -> None:
    """One pixel to the right and two down, read at (x + 1, y + 2)."""
    feature = torch.arange(30.0).reshape(1, 1, 5, 6)
    offset = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 5, 6)
    out = GridSample()(feature, offset)
    torch.testing.assert_close(out[0, 0, :3, :5], feature[0, 0, 2:, 1:])
    assert out[0, 0, 3:].abs().max() < 1e-4
    assert out[0, 0, :, 5].abs().max() < 1e-4


def test_zero_offset_is_the_identity() -> None:
    feature = draw(1, 2, 64, 112, dtype=torch.float32)
    out = GridSample()(feature, torch.zeros(1, 2, 64, 112))
    torch.testing.assert_close(out, feature, atol=1e-4, rtol=0)


def test_values_fade_out_over_one_pixel() -> None:
    feature = torch.ones(1, 1, 1, 4)
    shifts = torch.tensor([-0.25, -1.0, 0.25, 1.5]).reshape(1, 1, 1, 4)
    offset = torch.cat([shifts, torch.zeros_like(shifts)], dim=1)
    out = GridSample()(feature, offset).flatten()
    torch.testing.assert_close(out, torch.tensor([0.75, 1.0, 1.0, 0.0]))


@pytest.mark.parametrize("huge", [1e4, 1e9, 1e38, math.inf])
def test_any_offset_outside_gives_zero(huge: float) -> None:
    feature = torch.ones(1, 2, 3, 4)
    for sign in (-1, 1):
        out = GridSample()(feature, torch.full((1, 2, 3, 4), sign * huge))
        assert out.abs().max() == 0


def test_gradcheck() -> None:
    feature = draw(1, 2, 3, 4).requires_grad_()
    # Away from whole pixels, where the interpolation has a kink.
    offset = (draw(1, 2, 3, 4).round() + 0.37).requires_grad_()
    assert torch.autograd.gradcheck(GridSample(), (feature, offset))


def test_half_precision_features_with_exact_places() -> None:
    """In bfloat16 the place 300.25 would be 300 or 302; the warp must not round it."""
    feature = torch.arange(512.0).reshape(1, 1, 1, 512).bfloat16()
    offset = torch.zeros(1, 2, 1, 512)
    offset[:, 0] = 40.25
    out = GridSample()(feature, offset)
    assert out.dtype == torch.bfloat16
    expected = loop_warp(feature.double(), offset.double())
    torch.testing.assert_close(out.double()[..., :470], expected[..., :470], rtol=2**-8, atol=0)
