"""The robust loss: its value, what does not count, and finite gradients."""

from __future__ import annotations

import pytest
import torch

from hat.models.losses import RobustFlowLoss


def test_value_in_pixels() -> None:
    loss = RobustFlowLoss(power=0.5, epsilon=0.25, unit=20.0)
    pred = torch.zeros(1, 2, 4, 4)
    gt = torch.zeros(1, 2, 4, 4)
    gt[:, 0], gt[:, 1] = 0.15, 0.2  # 0.25 units: 5 px
    assert float(loss(pred, gt)) == pytest.approx(5.25**0.5, rel=1e-5)


def test_invalid_pixels_do_not_count() -> None:
    pred, gt = torch.zeros(2, 2, 3, 3), torch.ones(2, 2, 3, 3)
    valid = torch.ones(2, 1, 3, 3)
    valid[0, 0, 1, 1] = 0
    plain = RobustFlowLoss()(pred, gt)
    gt[0, :, 1, 1] = torch.nan
    assert float(RobustFlowLoss()(pred, gt, valid)) == pytest.approx(float(plain), rel=1e-6)


def test_no_error_has_a_finite_gradient() -> None:
    pred = torch.zeros(1, 2, 2, 2, requires_grad=True)
    RobustFlowLoss()(pred, torch.zeros(1, 2, 2, 2)).backward()
    assert torch.isfinite(pred.grad).all()


@pytest.mark.parametrize("wrong", [{"power": 0}, {"power": 1.5}, {"epsilon": 0}, {"unit": -1}])
def test_what_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
        RobustFlowLoss(**wrong)
