"""Runs whose length is a time: the clock is the tests' own, a second a step."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hat.engine import run_length
from hat.engine.callbacks.base import Callback
from hat.engine.checkpoint import load_checkpoint
from hat.engine.run_length import RunLength
from hat.errors import InputError
from tests.engine import tiny


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock finds it a second later; a step looks once."""
    ticks: Iterator[int] = itertools.count()
    monkeypatch.setattr(run_length, "monotonic", lambda: float(next(ticks)))


class Record(Callback):
    """What the callbacks of a run see after each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.frozen: list[bool] = []

    def on_step_end(self, trainer: Any) -> None:
        self.rates.append(trainer.optimizer.param_groups[0]["lr"])
        self.frozen.append(not trainer.model.body[1].training)


def run(seconds: float, callbacks: Any = (), **changes: Any) -> tuple[Any, Record]:
    length = {"stop_by": "minutes", "num_minutes": seconds / 60, "num_epochs": None}
    config = tiny.trainer_config(callbacks=list(callbacks), **{**length, **changes})
    trainer, record = tiny.build(config), Record()
    trainer.callbacks.append(record)
    return trainer, record


def test_a_run_ends_with_its_time_and_the_rate_with_it() -> None:
    cosine = {"type": "CosLrUpdater", "warmup_by": "fraction", "warmup_len": 0.25}
    trainer, record = run(13, [cosine], freeze_bn_step=0.5)
    trainer.fit()
    assert trainer.step == 13
    # The first second is that of starting; each further one is a twelfth of the rest. There is no
    # pace before the second step has ended; 24 steps after it, 18 after the third, 16 from then on.
    rising = [0, 0, 3 / (0.25 * 24), 4 / (0.25 * 18)]
    falling = [0.5 * (1 + math.cos(math.pi * (k / 12 - 0.25) / 0.75)) for k in range(3, 12)]
    assert record.rates == pytest.approx([1e-2 * factor for factor in (*rising, *falling)])
    assert record.frozen == [False] * 7 + [True] * 6


def test_the_sittings_of_a_run_share_its_time(tmp_path: Path) -> None:
    checkpoint = {
        "type": "Checkpoint",
        "save_dir": tmp_path,
        "save_interval": 4 / 60,
        "interval_by": "minutes",
    }

    class Stop(Callback):
        def on_step_end(self, trainer: Any) -> None:
            if trainer.step == 6:
                raise KeyboardInterrupt

    trainer, _ = run(10, [checkpoint])
    trainer.callbacks.append(Stop())
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    content = load_checkpoint(tmp_path / "checkpoint-last.pth.tar")
    assert content["step"] == 4
    assert content["resume"]["seconds"] == [4.0, 1.0]
    again, _ = run(10, [checkpoint])
    again.load_state_dict(content)
    assert again.run_length.progress(again.step) == pytest.approx(3 / 9)
    again.fit()
    assert again.step == 10


def test_what_is_due_by_minutes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    validation = tiny.validation(interval_by="minutes", val_interval=3 / 60)
    with caplog.at_level(logging.INFO):
        trainer, _ = run(10, [validation, {"type": "StatsMonitor", "log_freq": 5}])
        trainer.fit()
    text = caplog.text
    steps = [f"step {step}:" in text for step in range(1, 11)]
    assert [i + 1 for i, found in enumerate(steps) if found] == [3, 6, 9, 10]
    assert "Remaining Time: 00:00:05" in text


def test_positions_for_people() -> None:
    steps = RunLength("step", None, 12, None, 4)
    assert steps.position(5) == "at step 5 of 12"
    assert steps.describe() == "12 steps"
    assert RunLength("epoch", 3, None, None, 4).steps == 12
    minutes = RunLength("minutes", None, None, 10, 4)
    minutes.step_done(1, 30.0)
    minutes.step_done(7, 150.0)
    assert minutes.position(7) == "at step 7, after 2.5 of 10 minutes"
    assert minutes.total_steps(7) == pytest.approx(7 * 570 / 120)
    assert minutes.seconds_left(7, 1.0) == 450.0
    assert math.isinf(RunLength("minutes", None, None, 10, 4).total_steps(0))


@pytest.mark.parametrize("wrong", [None, 0, -1, True, "10"])
def test_minutes_that_are_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match="num_minutes of more than 0"):
        RunLength("minutes", None, None, wrong, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interval_by": "hour"}, "interval_by must be 'epoch', 'step' or 'minutes'"),
        ({"interval_by": "minutes", "val_interval": 0}, "val_interval in minutes must be above 0"),
        ({"interval_by": "step", "val_interval": 0.5}, "val_interval must be at least 1"),
    ],
)
def test_intervals_that_are_none(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny.build(tiny.trainer_config(callbacks=[tiny.validation(**changes)]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_by": "minutes"}, "warmup_by must be 'epoch', 'step' or 'fraction'"),
        ({"warmup_by": "fraction", "warmup_len": 2}, "fraction of the run, 0 to 1; found 2"),
    ],
)
def test_warm_ups_that_are_none(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny.build(tiny.trainer_config(callbacks=[{"type": "CosLrUpdater", **changes}]))


def test_a_data_set_is_told_how_much_is_over() -> None:
    told = []
    trainer, _ = run(9)
    trainer.loader.dataset.set_progress = told.append
    trainer.fit()  # epochs of four steps
    assert told == pytest.approx([0, 3 / 8, 7 / 8])
