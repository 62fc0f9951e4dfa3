from __future__ import annotations

import numpy as np
import pytest

from hat.data.synthesis.render import render_flow
from hat.data.synthesis.scene import random_scene
from hat.data.synthesis.statistics import PUBLISHED_STATISTICS, FlowStatistics


def test_summary_against_numpy():
    rng = np.random.default_rng(0)
    flows = [rng.normal(0, 10, (20, 30, 2)).astype(np.float32) for _ in range(5)]
    statistics = FlowStatistics()
    for flow in flows:
        statistics.add(flow)
    found = statistics.summary()
    length = np.linalg.norm(np.stack(flows).astype(np.float64), axis=-1)
    assert found["mean"] == pytest.approx(length.mean(), abs=1e-4)
    assert found["sd"] == pytest.approx(length.std(), abs=1e-4)
    assert found["max"] == pytest.approx(length.max(), abs=1e-4)
    for name, share in (("median", 50), ("p90", 90), ("p99", 99)):
        assert found[name] == pytest.approx(np.percentile(length, share), abs=0.1)


def test_order_and_grouping_leave_no_trace():
    rng = np.random.default_rng(1)
    flows = [rng.normal(0, 10 ** (i % 3), (9, 7, 2)).astype(np.float32) for i in range(12)]
    forward, grouped = FlowStatistics(), FlowStatistics()
    for flow in flows:
        forward.add(flow)
    for group in (flows[7:], flows[:7]):
        part = FlowStatistics()
        for flow in reversed(group):
            part.add(flow)
        grouped.merge(part)
    assert forward.summary() == grouped.summary()


def test_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no flow"):
        FlowStatistics().summary()


def test_flow_has_the_published_statistics():
    """400 pairs: the mean's standard error is about 0.5 px (motions differ from pair to pair)."""
    statistics = FlowStatistics()
    for index in range(400):
        scene = random_scene(np.random.default_rng((0, index)), (384, 512))
        statistics.add(render_flow(scene)[::2, ::2])
    found = statistics.summary()
    assert PUBLISHED_STATISTICS.keys() == found.keys() - {"max"}
    for name, published in PUBLISHED_STATISTICS.items():
        assert found[name] == pytest.approx(published, rel=0.15), name


def test_statistics_scale_with_the_unit():
    """Half the size and half the unit: the same motions at half the length."""
    for index in range(3):
        full = render_flow(random_scene(np.random.default_rng((1, index)), (384, 512)))
        half = render_flow(random_scene(np.random.default_rng((1, index)), (192, 256), 0.5))
        assert 2 * np.abs(half).mean() == pytest.approx(np.abs(full).mean(), rel=0.03)
