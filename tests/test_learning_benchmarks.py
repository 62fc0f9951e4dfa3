"""The benchmarks of learning and of flow quality on a few small pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import flow_quality, flow_sets, learning


def test_every_level_is_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "learning.json"
    words = ["--steps", "2", "--batch-size", "2", "--report", "2", "--size", "64", "64", "--no-amp"]
    threads = torch.get_num_threads()
    monkeypatch.setattr("sys.argv", ["learning", *words, "--json", str(file)])
    learning.main()
    torch.set_num_threads(threads)
    (row,) = json.loads(file.read_text())["rows"]
    assert row["samples"] == 4
    assert all(0 < row[level] < 10 for level in ("1/4", "1/8", "1/16", "1/32"))
    assert 0 <= row["dead"] < 0.5
    assert "samples" in capsys.readouterr().out


def test_methods_are_judged_alike() -> None:
    texture = learning.spectral(np.random.default_rng(0), 96, True)
    moved = np.roll(texture, 3, axis=1)
    flow = np.zeros((96, 96, 2), np.float32)
    flow[..., 0] = 3
    results = flow_quality.judge([(texture, moved, flow)], flow_quality.opencv_methods())
    assert results["zero flow"]["EPE"] == pytest.approx(3.0)
    assert results[flow_quality.REFERENCE]["EPE"] < 1.0


def test_sets_that_are_not_there(tmp_path: Path) -> None:
    assert flow_sets.real_sets(tmp_path) == {}


def test_generated_sets_are_the_same_again() -> None:
    first, second = (
        list(flow_sets.generated_set(learning.spectral, "small", 1, (48, 64))) for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))
