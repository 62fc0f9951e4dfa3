"""The loss against its formula in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hat.models.losses import LnNormLoss


def flows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 2, 4, 5)), rng.normal(size=(3, 2, 4, 5))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("power", [1.0, 0.4, 2.0])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_value(order: int, power: float, reduction: str) -> None:
    pred, gt = flows()
    per_pixel = (np.abs(pred - gt) ** order).sum(axis=1) ** (1 / order)
    per_image = per_pixel.sum(axis=(1, 2))
    expected = 0.5 * getattr(np, reduction)(per_image) ** power
    loss = LnNormLoss(order, power, reduction, loss_weight=0.5)
    found = loss(torch.from_numpy(pred), torch.from_numpy(gt))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_invalid_pixels_do_not_count_whatever_they_hold() -> None:
    pred, gt = (torch.from_numpy(x) for x in flows())
    pred.requires_grad_()
    valid = torch.ones(3, 1, 4, 5)
    valid[0, 0, 1:3] = 0
    valid[2] = 0
    dirty = torch.where(valid > 0, gt, torch.full_like(gt, math.nan))
    loss = LnNormLoss()(pred, dirty, valid)
    per_pixel = (pred - gt).norm(dim=1, keepdim=True) * valid
    assert loss.item() == pytest.approx((per_pixel.sum() / 3).item())
    loss.backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
    assert ((pred.grad != 0).any(dim=1, keepdim=True) == (valid > 0)).all()


@pytest.mark.parametrize("power", [1.0, 0.4])
def test_no_error_has_no_gradient(power: float) -> None:
    pred = torch.zeros(2, 2, 3, 3, requires_grad=True)
    LnNormLoss(2, power)(pred, torch.zeros(2, 2, 3, 3)).backward()
    assert pred.grad is not None
    assert pred.grad.abs().max() == 0


def test_half_precision_is_summed_in_float32() -> None:
    pred = torch.full((1, 2, 64, 64), 0.5, dtype=torch.bfloat16)
    loss = LnNormLoss(1)(pred, torch.zeros(1, 2, 64, 64))
    assert loss.dtype == torch.float32
    assert loss.item() == 64 * 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm_order": 0}, "norm_order"),
        ({"power": 0}, "power"),
        ({"reduction": "none"}, "reduction"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LnNormLoss(**arguments)  # type: ignore[arg-type]
