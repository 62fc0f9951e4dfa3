"""FloatFunctional and the stubs."""

from __future__ import annotations

import pytest
import torch

from horizon.nn import DeQuantStub, FloatFunctional, QuantStub


def test_functional_operations() -> None:
    x, y = torch.arange(8.0).reshape(1, 2, 2, 2), torch.full((1, 2, 2, 2), 3.0)
    layer = FloatFunctional()
    assert torch.equal(layer.add(x, y), x + 3)
    assert torch.equal(layer.mul_scalar(x, 0.25), x / 4)
    joined = layer.cat([x, y, x])
    assert joined.shape == (1, 6, 2, 2)
    assert torch.equal(joined[:, 2:4], y)


def test_functional_refuses_other_operations() -> None:
    with pytest.raises(RuntimeError, match="add"):
        FloatFunctional()("divide", torch.zeros(1))


def test_hooks_see_the_operations() -> None:
    seen = []
    layer = FloatFunctional()
    layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = torch.zeros(1, 1, 1, 1)
    layer.add(x, x), layer.cat([x]), layer.mul_scalar(x, 2.0)
    assert seen == ["add", "cat", "mul_scalar"]


def test_stubs_are_the_identity() -> None:
    x = torch.randn(2, 3)
    assert QuantStub(scale=1 / 128)(x) is x
    assert DeQuantStub()(x) is x


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_quant_stub_refuses_a_scale_that_is_not_positive(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        QuantStub(scale=scale)
