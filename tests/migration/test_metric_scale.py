"""The factor of a metric function is found by trying it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from hat.config import Config
from hat.engine.evaluate import update_flow_metrics
from hat.metrics import EndPointError
from hat.migration.metric_scale import ScaledUpdate, factors, is_unclear
from tests.conftest import ROOT


def enlarged(flow):
    return functional.interpolate(flow, scale_factor=4, mode="bilinear")


def times_four(metrics, batch, model_outs):
    metrics[0].update(batch["gt_flow"], enlarged(model_outs) * 4)


def with_original_key(metrics, batch, model_outs):
    _, error = metrics
    error.update(preds=enlarged(model_outs) * 20, labels=batch["gt_ori_flow"])


def at_the_finest_level(metrics, batch, model_outs):
    for metric in metrics:
        metric.update(batch["gt_flow"][0] / 4, model_outs["pred_flows"])


def only_losses(metrics, batch, model_outs):
    metrics[0].update(model_outs["losses"])


def not_a_factor(metrics, batch, model_outs):
    metrics[0].update(batch["gt_flow"], model_outs + 1)


def negated(metrics, batch, model_outs):
    metrics[0].update(batch["gt_flow"], -model_outs)


def failing(metrics, batch, model_outs):
    raise RuntimeError("no such key")


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (times_four, (4.0, 1.0)),
        (with_original_key, (20.0, 1.0)),
        (at_the_finest_level, (1.0, 0.25)),
        (update_flow_metrics, (1.0, 1.0)),
        (only_losses, None),
        (not_a_factor, None),
        (negated, None),
        (failing, None),
    ],
)
def test_the_factors(function, found):
    assert factors(function) == found


def of_another_key(metrics, batch, model_outs):
    metrics[0].update(batch["gt_flow"], model_outs["flows"][0] * 20)


@pytest.mark.parametrize(
    ("function", "unclear"),
    [
        (times_four, False),
        (update_flow_metrics, False),
        (only_losses, False),
        (not_a_factor, True),
        (failing, True),
        (of_another_key, True),
    ],
)
def test_what_cannot_be_tried_is_known(function, unclear):
    assert is_unclear(function) == unclear


def test_the_shipped_function_needs_no_factor():
    path = ROOT / "configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py"
    assert factors(Config.fromfile(path).update_train_metrics) == (1.0, 1.0)


def test_the_error_is_that_of_the_flow_itself():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(2, 2, 32, 32, generator=generator)
    flow = torch.randn(2, 2, 8, 8, generator=generator)
    plain, scaled, levels, wrong = (EndPointError() for _ in range(4))
    plain.update(truth, flow)
    ScaledUpdate(times_four, 4.0, 1.0)([scaled], {"gt_flow": truth}, flow)
    times_four([wrong], {"gt_flow": truth}, flow)
    assert float(scaled.compute()) == pytest.approx(float(plain.compute()), rel=1e-6)
    assert float(wrong.compute()) > 2 * float(plain.compute())
    ScaledUpdate(at_the_finest_level, 1.0, 0.25)(
        [levels], {"gt_flow": [truth], "other": 1}, {"pred_flows": flow}
    )
    assert float(levels.compute()) == pytest.approx(float(plain.compute()), rel=1e-6)
