"""A mixture draws from its parts by weight and by epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hat.data.datasets import Mixture, PairFolder
from hat.data.transforms import RandomCrop
from tests.data.datasets_layout import write_folder


class Numbers:
    def __init__(self, start: int) -> None:
        self.start, self.epoch, self.progress = start, 0, 0.0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def set_progress(self, progress: float) -> None:
        self.progress = progress

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        return self.start + index


def test_weights_and_epochs() -> None:
    early, always, late = Numbers(0), Numbers(100), Numbers(200)
    data = Mixture(
        [
            {"dataset": early, "weight": 3.0, "end_epoch": 1},
            {"dataset": always},
            {"dataset": late, "first_epoch": 1},
        ],
        length=400,
    )
    first = [data[i] for i in range(400)]
    assert 0.68 < sum(value < 100 for value in first) / 400 < 0.82
    assert max(first) < 200
    assert len(set(first)) == 20
    data.set_epoch(1)
    second = [data[i] for i in range(400)]
    assert min(second) >= 100
    assert max(second) >= 200
    assert early.epoch == 1
    data.set_progress(0.25)
    assert late.progress == 0.25
    data.set_epoch(0)
    assert [data[i] for i in range(400)] == first


def test_an_epoch_without_a_part() -> None:
    data = Mixture([{"dataset": Numbers(0), "end_epoch": 2}], length=4)
    with pytest.raises(ValueError, match="no part of the mixture counts in epoch 2"):
        data.set_epoch(2)
    with pytest.raises(IndexError, match="index 4"):
        data[4]


def test_a_pair_that_is_drawn_again_is_augmented_anew(tmp_path: Path) -> None:
    write_folder(tmp_path)
    patterns = {"img1": "*/*_a.png", "img2": "*/*_b.png", "flow": "*/*_flow.flo"}
    pairs = PairFolder(str(tmp_path), **patterns, only="park/1", transforms=[RandomCrop((16, 16))])
    data = Mixture([{"dataset": pairs}], length=6)
    first = [data[i]["gt_flow"] for i in range(6)]
    assert len({flow.tobytes() for flow in first}) > 3
    np.testing.assert_array_equal(data[2]["gt_flow"], first[2])
    data.set_epoch(1)
    assert not np.array_equal(data[2]["gt_flow"], first[2])
