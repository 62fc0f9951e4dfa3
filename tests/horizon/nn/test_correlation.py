"""The cost volume against a loop over pixels and displacements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from horizon.nn import Correlation
from horizon.nn.correlation import shifted_products


def loop_correlation(first: Tensor, second: Tensor, md: int) -> Tensor:
    """Pixel by pixel, displacement by displacement."""
    images, channels, height, width = first.shape
    out = torch.zeros(images, (2 * md + 1) ** 2, height, width, dtype=first.dtype)
    for n, y, x in itertools.product(range(images), range(height), range(width)):
        for dy, dx in itertools.product(range(-md, md + 1), repeat=2):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                product = (first[n, :, y, x] * second[n, :, y + dy, x + dx]).sum() / channels
                out[n, (dy + md) * (2 * md + 1) + dx + md, y, x] = product
    return out


def maps(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    first, second = (torch.randn(*shape, generator=generator, dtype=dtype) for _ in range(2))
    return first.requires_grad_(), second.requires_grad_()


@pytest.mark.parametrize("md", [0, 1, 4])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (3, 4, 1, 9), (1, 31, 11, 2)])
def test_forward_equals_the_loop(shape: tuple[int, ...], md: int) -> None:
    first, second = maps(*shape)
    torch.testing.assert_close(
        Correlation(md)(first, second), loop_correlation(first.detach(), second.detach(), md)
    )


def test_channel_order_is_dy_major() -> None:
    """A point that moves by (dx, dy) = (3, -2) answers in channel (dy + 4) * 9 + (dx + 4)."""
    first, second = torch.zeros(2, 1, 1, 12, 12)
    first[0, 0, 6, 5] = 1
    second[0, 0, 4, 8] = 1
    out = Correlation(4)(first, second)
    assert out.nonzero().tolist() == [[0, (-2 + 4) * 9 + (3 + 4), 6, 5]]
    assert out.max() == 1


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (3, 4, 1, 9), (2, 33, 13, 30)])
def test_gradients_equal_those_of_the_shifted_products(shape: tuple[int, ...]) -> None:
    first, second = maps(*shape)
    plain = shifted_products(first, second, 4)
    weight = torch.randn(plain.shape, dtype=plain.dtype, generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad(plain, (first, second), weight)
    found = torch.autograd.grad(Correlation(4)(first, second), (first, second), weight)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(Correlation(2), maps(2, 2, 3, 4))


def test_gradient_of_one_side_only() -> None:
    first, second = maps(1, 3, 4, 5)
    alone = torch.autograd.grad(Correlation(1)(first, second.detach()).square().sum(), first)
    both = torch.autograd.grad(Correlation(1)(first, second).square().sum(), first)
    torch.testing.assert_close(alone, both)


def test_memory_format_does_not_matter() -> None:
    first, second = maps(2, 5, 6, 7)
    last = [x.detach().contiguous(memory_format=torch.channels_last) for x in (first, second)]
    torch.testing.assert_close(Correlation(3)(*last), Correlation(3)(first, second))


def test_autocast_gives_the_narrow_type_and_keeps_sums_wide() -> None:
    first, second = maps(1, 196, 6, 9, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = Correlation(4)(first, second)
        narrow.float().sum().backward()
    assert narrow.dtype == torch.bfloat16
    exact = shifted_products(first.double(), second.double(), 4)
    # Inputs, their product with 1/C and the result are rounded to 8 bits; 196 rounded partial
    # sums would be far worse than the four roundings allowed here.
    error = (narrow.double() - exact).abs().max() / exact.abs().max()
    assert error < 4 * 2**-9
    assert first.grad is not None
    assert first.grad.dtype == torch.float32


def test_exported_program_is_plain_arithmetic_with_the_same_results() -> None:
    first, second = (x.detach() for x in maps(2, 3, 6, 5))
    batch, height, width = (torch.export.Dim(name, min=1, max=64) for name in "nhw")
    free = {0: batch, 2: height, 3: width}
    program = torch.export.export(Correlation(2), (first, second), dynamic_shapes=(free, free))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("mul" in name for name in targets)
    assert not any("as_strided" in name or "bmm" in name for name in targets)
    other = tuple(x.detach() for x in maps(3, 3, 9, 4))
    torch.testing.assert_close(program.module()(*other), Correlation(2)(*other))


def test_zero_and_large_values() -> None:
    zero = torch.zeros(1, 4, 6, 6)
    assert Correlation(4)(zero, zero).abs().max() == 0
    big = np.sqrt(np.finfo(np.float32).max / 10)
    assert torch.isfinite(Correlation(1)(zero + big, zero + big)).all()


def test_negative_displacement_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_displacement.*-1"):
        Correlation(-1)
