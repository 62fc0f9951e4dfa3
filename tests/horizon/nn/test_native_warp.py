"""The compiled warp against grid_sample in float64, and its gradients."""

from __future__ import annotations

import pytest
import torch

from horizon.nn.grid_sample import sampled_on_a_grid
from horizon.nn.native_warp import native_warp, suits


@pytest.mark.parametrize("shape", [(2, 5, 9, 13), (1, 24, 16, 16), (3, 8, 1, 7), (1, 3, 6, 1)])
def test_values_and_gradients_are_those_of_grid_sample(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    feature = torch.randn(shape, requires_grad=True)
    offset = (torch.randn(shape[0], 2, *shape[2:]) * 4).requires_grad_()
    exact = [x.detach().double().requires_grad_() for x in (feature, offset)]
    found, wanted = native_warp(feature, offset), sampled_on_a_grid(*exact)
    assert torch.allclose(found.double(), wanted, atol=1e-5)
    slope = torch.randn_like(found)
    found.backward(slope)
    wanted.backward(slope.double())
    for one, other in zip((feature, offset), exact, strict=True):
        assert torch.allclose(one.grad.double(), other.grad, atol=1e-4)


def test_places_far_outside_and_not_numbers_give_zero() -> None:
    feature = torch.ones(1, 2, 4, 4)
    offset = torch.zeros(1, 2, 4, 4)
    offset[0, 0, 0] = torch.tensor([1e30, -1e30, torch.inf, torch.nan])
    warped = native_warp(feature, offset)
    assert torch.equal(warped[..., 0, :], torch.zeros(1, 2, 4))
    assert torch.equal(warped[..., 1:, :], torch.ones(1, 2, 3, 4))


def test_half_precision_keeps_its_type() -> None:
    feature = torch.randn(2, 4, 6, 8).bfloat16().contiguous(memory_format=torch.channels_last)
    feature.requires_grad_()
    warped = native_warp(feature, torch.zeros(2, 2, 6, 8))
    assert torch.equal(warped, feature)
    warped.float().sum().backward()
    assert feature.grad.is_contiguous(memory_format=torch.channels_last)
    assert not suits(feature.double(), torch.zeros(2, 2, 6, 8))
