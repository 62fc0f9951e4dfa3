"""Averages of the training losses."""

from __future__ import annotations

import math

import pytest
import torch

from hat.metrics import LossShow
from hat.registry import build_from_registry


def test_levels_and_sum() -> None:
    metric = LossShow()
    metric.update({"losses": [torch.tensor(1.0), torch.tensor(4.0)], "pred_flows": None})
    metric.update([torch.tensor(3.0, requires_grad=True), torch.tensor(8.0)])
    assert metric.results() == {"loss": 8.0, "loss_1/4": 2.0, "loss_1/8": 6.0}
    metric.reset()
    metric.update(torch.tensor(5.0))
    assert metric.results() == {"loss": 5.0, "loss_1/4": 5.0}


def test_many_small_losses_do_not_lose_digits() -> None:
    metric = LossShow()
    metric.update([torch.tensor(1e8)])
    for _ in range(1000):
        metric.update([torch.tensor(1.0)])
    assert metric.results()["loss"] == pytest.approx((1e8 + 1000) / 1001, rel=1e-12)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_not_finite_shows_and_nothing_is_nan() -> None:
    metric = LossShow()
    assert math.isnan(LossShow().results()["loss"])
    metric.update([torch.tensor(math.nan), torch.tensor(1.0)])
    assert math.isnan(metric.results()["loss"])
    assert metric.results()["loss_1/8"] == 1.0


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="expected the key 'losses'"):
        LossShow().update({"loss": torch.tensor(1.0)})
    with pytest.raises(ValueError, match="found 0"):
        LossShow().update([])


def test_from_config() -> None:
    metric = build_from_registry({"type": "LossShow", "name": "train loss", "finest_level": 0})
    metric.update([torch.tensor(1.0)])
    assert metric.results() == {"train loss": 1.0, "train loss_1/1": 1.0}
