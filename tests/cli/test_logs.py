"""What a command logs, and what happens when the disk is full."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from hat.cli.logs import log_to_file, setup_logging
from hat.cli.main import run_command
from hat.engine.callbacks import TrainingLog
from hat.errors import InputError
from hat.run_log import read_log

FULL = Path("/dev/full")  # every write to it fails as on a full disk


@pytest.fixture(autouse=True)
def _restore_handlers():
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_records_before_the_file_is_open_are_in_it(tmp_path):
    setup_logging(file_follows=True)
    logging.getLogger("hat").info("first")
    log_to_file(tmp_path / "log.txt")
    logging.getLogger("hat").info("second")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second"]


def test_a_full_disk_is_one_line_that_names_the_log(capfd):
    setup_logging(file_follows=True)
    log_to_file(FULL)
    with pytest.raises(InputError, match=r"/dev/full: the log could not be written \(No space"):
        logging.getLogger("hat").warning("a line")
    logging.getLogger("hat").warning("the terminal goes on")
    assert "Traceback" not in capfd.readouterr().err


def test_a_full_disk_ends_the_recorded_values_in_words(tmp_path):
    log = TrainingLog(tmp_path, "float-")
    trainer = SimpleNamespace(step=0, epoch=0)
    log.on_loop_begin(trainer)
    log.path = FULL
    with pytest.raises(InputError, match="/dev/full: the log could not be written"):
        log.on_scalars(trainer, {"loss": 1.0})
    log.on_loop_end(trainer)


def test_training_on_a_full_disk_ends_with_exit_code_2(tiny_config, monkeypatch, capfd):
    begin = TrainingLog.on_loop_begin

    def onto_a_full_disk(self, trainer):
        begin(self, trainer)
        self.path = FULL

    monkeypatch.setattr(TrainingLog, "on_loop_begin", onto_a_full_disk)
    assert run_command("train", ["--stage", "float", "--config", str(tiny_config)]) == 2
    error = capfd.readouterr().err
    assert "error: /dev/full: the log could not be written" in error
    assert "Traceback" not in error


def test_what_is_no_number_is_null_in_the_log(tmp_path):
    log = TrainingLog(tmp_path, "float-")
    trainer = SimpleNamespace(step=1, epoch=0)
    log.on_loop_begin(trainer)
    log.on_scalars(trainer, {"loss": math.nan, "EPE": math.inf, "lr": 0.5})
    log.on_loop_end(trainer)

    def refuse(name):
        raise AssertionError(name)

    line = json.loads(log.path.read_text(), parse_constant=refuse)
    assert (line["loss"], line["EPE"], line["lr"]) == (None, None, 0.5)
    assert read_log(log.path)[0]["loss"] is None
