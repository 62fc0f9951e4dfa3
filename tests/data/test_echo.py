"""Samples that come several times, changed anew each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hat.data.datasets import Echo


class Counted:
    """Samples that know how many were made before them; larger ones from epoch 1 on."""

    def __init__(self) -> None:
        self.made, self.epoch, self.progress = 0, 0, 0.0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def set_progress(self, progress: float) -> None:
        self.progress = progress

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.made += 1
        return {"img": np.zeros((4 + self.epoch, 4, 6), np.uint8), "img_id": self.made}


def noted(sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    sample["drawn"] = rng.random()
    return sample


def test_each_sample_comes_so_often_and_is_changed_anew() -> None:
    source = Counted()
    data = Echo(source, factor=4, buffer=50, transforms=[noted])
    taken = [data[i] for i in range(1000)]
    assert 200 < source.made < 300
    assert len({sample["drawn"] for sample in taken}) == 1000
    late = [sample["img_id"] for sample in taken[-20:]]
    assert min(late) > source.made - 60  # the oldest have left the buffer


def test_without_a_factor_every_sample_is_new() -> None:
    source = Counted()
    data = Echo(source)
    assert [data[i]["img_id"] for i in range(5)] == [1, 2, 3, 4, 5]
    assert len(data) == 1000


def test_an_epoch_of_another_size_begins_with_an_empty_buffer() -> None:
    source = Counted()
    data = Echo(source, factor=8)
    for i in range(40):
        data[i]
    data.set_epoch(1)
    data.set_progress(0.5)
    assert (source.epoch, source.progress) == (1, 0.5)
    assert {data[i]["img"].shape for i in range(40)} == {(5, 4, 6)}


@pytest.mark.parametrize(
    ("changes", "message"), [({"factor": 0.5}, "factor must be"), ({"buffer": 0}, "buffer must")]
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Echo(Counted(), **changes)
