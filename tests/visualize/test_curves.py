"""Reading a training log and drawing it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hat.data.image_io import read_image
from hat.errors import InputError
from hat.run_log import read_log
from hat.visualize.curves import collect, plot_training_curve

RECORDS = [
    {"step": step, "epoch": 0, "lr": 1e-4, "loss": 10.0 / (step + 1), "EPE": 5.0 - 0.1 * step}
    for step in range(10)
]


def test_log_of_a_stopped_run(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    text = "".join(json.dumps(record) + "\n" for record in RECORDS)
    path.write_text(text + '{"step": 10, "lo')
    assert read_log(path) == RECORDS


def test_damaged_log_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n\nnonsense\n{"step": 2}\n')
    with pytest.raises(InputError, match=r"log.jsonl:3: not JSON"):
        read_log(path)
    path.write_text("[1]\n")
    with pytest.raises(InputError, match=r"log.jsonl:1: expected a JSON object"):
        read_log(path)
    path.write_text("")
    with pytest.raises(InputError, match="empty"):
        read_log(path)


def test_series_are_sorted_and_gaps_marked() -> None:
    series = collect(
        [
            {"step": 2, "loss": math.inf, "note": "text"},
            {"step": 1, "loss": 3.0, "val/EPE": 2.0},
            {"loss": 9.0},
        ]
    )
    assert series["val/EPE"] == ([1], [2.0])
    steps, values = series["loss"]
    assert steps == [1, 2]
    assert values[0] == 3.0
    assert math.isnan(values[1])
    assert set(series) == {"loss", "val/EPE"}


def test_a_picture_is_written(tmp_path: Path) -> None:
    full = plot_training_curve(RECORDS, tmp_path / "full.png")
    part = plot_training_curve([{"step": 1, "EPE": 2.0}], tmp_path / "part.png")
    assert read_image(full).shape[0] > read_image(part).shape[0] > 300
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full.png", "part.png"]


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        plot_training_curve([{"step": 1, "speed": 3.0}], tmp_path / "no.png")
    assert list(tmp_path.iterdir()) == []
