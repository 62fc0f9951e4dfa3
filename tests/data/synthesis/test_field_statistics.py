"""Speeds, gradients, occlusion: counted by hand on small fields; the published shares."""

from __future__ import annotations

import numpy as np
import pytest

from hat.data.synthesis.affine import translation
from hat.data.synthesis.field_statistics import FieldStatistics, unmatched
from hat.data.synthesis.published import PUBLISHED, SINTEL_ERRORS, sintel_shares
from hat.data.synthesis.render import render_flow, render_labels, render_pair
from hat.data.synthesis.scene import random_scene
from hat.data.synthesis.statistics import FlowStatistics
from hat.data.synthesis.textures import procedural_texture
from tests.data.synthesis.test_render import square_scene


def test_shares_and_deciles_of_speeds() -> None:
    flow = np.zeros((1, 100, 2), np.float32)
    flow[0, :, 0] = np.arange(100) * 0.5  # 0 to 49.5 px
    statistics = FlowStatistics()
    statistics.add(flow)
    assert statistics.shares() == pytest.approx([0.2, 0.6, 0.2])
    assert statistics.quantile(0.5) == pytest.approx(24.5, abs=0.04)
    masked = FlowStatistics()
    masked.add(np.where(flow > 30, np.nan, flow), flow[..., 0] <= 30)
    assert masked.shares() == pytest.approx([20 / 61, 41 / 61, 0])


def test_gradients_and_leaving_pixels() -> None:
    flow = np.zeros((4, 11, 2), np.float32)
    flow[:, 6:] = (3.0, 4.0)  # one column of steps of 5 px; rows 0 to 2, columns 0 to 9 count
    statistics = FieldStatistics()
    statistics.add(flow)
    summary = statistics.summary()
    assert summary["gradients"] == pytest.approx([0.9, 0, 0, 0.1])
    assert summary["leaving"] == pytest.approx(5 / 11), "4 px down leaves a picture of 4 rows"
    assert "unmatched" not in summary
    assert summary["fields"] == 1


def test_unknown_flow_counts_nowhere() -> None:
    flow = np.zeros((4, 6, 2), np.float32)
    flow[1, 1] = 0.0
    valid = np.ones((4, 6), np.uint8)
    valid[:, 3:] = 0
    flow[:, 3:] = np.nan
    statistics = FieldStatistics()
    with np.errstate(invalid="ignore"):
        statistics.add(flow, valid)
        statistics.add(flow, np.zeros((4, 6), np.uint8))
    summary = statistics.summary()
    assert summary["fields"] == 1
    assert summary["mean"] == 0
    assert summary["gradients"] == [1, 0, 0, 0]


def test_unmatched_pixels_by_hand() -> None:
    """A 10x10 square that moves 20 px hides a square of background; the background moves out."""
    scene = square_scene(translation(20, 0), translation(0, -4))
    flow = render_flow(scene)
    labels = [render_labels(scene, moved) for moved in (False, True)]
    pair = render_pair(scene, procedural_texture)
    assert np.array_equal(labels[0], pair.labels1)
    assert np.array_equal(labels[1], pair.labels2)
    hidden = unmatched(flow, *labels)
    expected = np.zeros((40, 50), bool)
    expected[:4] = True  # leaves the picture
    expected[10:20, 30:40] = True  # the square is there in image 2
    assert np.array_equal(hidden, expected)


def test_hidden_pixels_are_those_that_do_not_match() -> None:
    rng = np.random.default_rng(1)
    scene = random_scene(rng, (96, 128), 0.3, "spread", objects=(4, 4))
    flow = render_flow(scene)
    hidden = unmatched(flow, *(render_labels(scene, moved) for moved in (False, True)))
    assert 0.02 < hidden.mean() < 0.6
    statistics = FieldStatistics()
    statistics.add(flow, None, hidden)
    assert statistics.summary()["unmatched"] == pytest.approx(hidden.mean())
    assert statistics.summary()["leaving"] <= hidden.mean()


def test_the_published_shares_explain_every_error() -> None:
    shares, hidden, residual = sintel_shares()
    assert sum(shares) == pytest.approx(1)
    assert residual < 0.002, "px: four errors, two unknown shares"
    assert hidden == pytest.approx(0.109, abs=0.0005)
    for every, matched, other, slow, middle, fast in SINTEL_ERRORS.values():
        assert np.dot(shares, (slow, middle, fast)) == pytest.approx(every, abs=0.002)
        assert (1 - hidden) * matched + hidden * other == pytest.approx(every, abs=0.006)
    assert all(row["source"] for row in PUBLISHED.values())
