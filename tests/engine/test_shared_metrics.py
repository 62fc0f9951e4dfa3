"""Metrics of several predictions that are mostly the same."""

from __future__ import annotations

import torch

from hat.engine.shared_metrics import SharedMetrics
from hat.metrics import FlowMetrics


def test_metrics_part_when_the_flows_do() -> None:
    """Two sides share their metrics until a batch in which they differ, not after it."""
    truth = torch.zeros(1, 2, 4, 4)
    batch = {"gt_flow": truth}
    flows = [torch.full((1, 2, 4, 4), value) for value in (1.0, 2.0, 3.0)]
    pairs = [(0, 0), (1, 2), (2, 2), (1, 0)]
    sides = SharedMetrics([FlowMetrics()])
    apart = FlowMetrics(), FlowMetrics()
    for own in pairs:
        sides.update(batch, {name: flows[i] for name, i in zip("ab", own, strict=True)})
        for metric, index in zip(apart, own, strict=True):
            metric.update(truth, flows[index])
    expected = {name: m.results()["EPE"] for name, m in zip("ab", apart, strict=True)}
    assert {name: values["EPE"] for name, values in sides.results().items()} == expected
    assert expected["a"] != expected["b"]
