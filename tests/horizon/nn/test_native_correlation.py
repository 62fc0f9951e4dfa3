"""The compiled cost volume against the definition, and its gradients against automatic ones."""

from __future__ import annotations

import pytest
import torch

from horizon.nn.correlation import matrix_products, shifted_products
from horizon.nn.native_correlation import native_correlation, suits

SHAPES = [(2, 5, 9, 13), (1, 24, 16, 16), (1, 3, 1, 40), (3, 8, 7, 33)]


@pytest.mark.parametrize("reach", [0, 2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_definition(
    shape: tuple[int, ...], reach: int
) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(shape, requires_grad=True) for _ in range(2)]
    exact = [m.detach().double().requires_grad_() for m in maps]
    found = native_correlation(*maps, reach, 1 / shape[1])
    wanted = shifted_products(*exact, reach)
    assert torch.allclose(found.double(), wanted, atol=1e-6)
    slope = torch.randn_like(found)
    found.backward(slope)
    wanted.backward(slope.double())
    for one, other in zip(maps, exact, strict=True):
        assert torch.allclose(one.grad.double(), other.grad, atol=1e-5)


def test_the_number_of_threads_changes_no_bit() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(5, 4, 10, 20), torch.randn(5, 4, 10, 20)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(native_correlation(first, second, 3, 0.25))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_half_precision_keeps_its_type_and_memory_order() -> None:
    torch.manual_seed(0)
    shape = (2, 8, 12, 20)
    maps = [
        torch.randn(shape, dtype=torch.bfloat16)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
        for _ in range(2)
    ]
    volume = native_correlation(*maps, 3, 1 / 8)
    assert volume.dtype == torch.bfloat16
    assert volume.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(volume.float(), matrix_products(*maps, 3, 1 / 8).float(), atol=2e-2)
    volume.float().square().sum().backward()
    assert all(m.grad.is_contiguous(memory_format=torch.channels_last) for m in maps)


def test_what_it_does_not_take() -> None:
    narrow, wide = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    assert suits(narrow, narrow)
    assert not suits(wide, wide)
    assert not suits(narrow, narrow.bfloat16())
