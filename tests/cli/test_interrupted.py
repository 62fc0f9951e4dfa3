"""``hat train`` that is interrupted, killed or left alone by its parent, with two processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hat.cli.main import run_command
from hat.engine.callbacks import StatsMonitor
from hat.engine.checkpoint import load_checkpoint
from hat.registry import OBJECT_REGISTRY
from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS, wait_for_the_end_of, wait_until


@OBJECT_REGISTRY.register
class SignalSender(StatsMonitor):
    """Every process notes itself at step 3; then rank 0 sends a signal to one of them."""

    def __init__(self, number: int, to_parent: bool, folder: str, log_freq: int = 100) -> None:
        super().__init__(log_freq)
        self.number, self.to_parent, self.folder = number, to_parent, Path(folder)

    def on_step_end(self, trainer: Any) -> None:
        if trainer.step == 3:
            (self.folder / f"pid-{os.getpid()}").touch()
            if os.environ.get("RANK", "0") == "0":
                count = int(os.environ.get("WORLD_SIZE", "1"))
                wait_until(lambda: len(list(self.folder.glob("pid-*"))) == count)
                os.kill(os.getppid() if self.to_parent else os.getpid(), self.number)


def interrupting(config: Path, number: int, to_parent: bool) -> Path:
    """The config with a callback that sends the signal, and steps without end."""
    text = config.read_text().replace("num_steps=6", "num_steps=10**6")
    text = text.replace('interval_by="step", save_interval=1)', "save_interval=10**6)")
    text = "from tests.cli.test_interrupted import SignalSender\n" + text
    text += (
        f"stat_callback = dict(type=SignalSender, number={int(number)}, to_parent={to_parent}, "
        f"folder={str(config.parent)!r})\n"
    )
    config.write_text(text)
    return config


def train(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hat.cli.main", "train", "--stage", "float"]
    return subprocess.run(
        [*command, "--config", str(config), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )


def wait_for_the_end_of_all(folder: Path) -> int:
    """How many processes the run had; they end in their own time."""
    pids = [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
    wait_for_the_end_of(pids)
    return len(pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_alone_ends_all_and_keeps_the_state(tiny_config, number):
    done = train(interrupting(tiny_config, number, True), "--device-ids", "0,1")
    assert done.returncode == 128 + number, done.stderr
    last = tiny_config.parent / "ckpt/float-checkpoint-last.pth.tar"
    step = load_checkpoint(last)["step"]
    assert step >= 3
    assert done.stderr.splitlines()[-1] == (
        f"interrupted: saved {last} at step {step} of 1000000; run the same command with --resume "
        "to continue"
    )
    assert "Traceback" not in done.stderr
    assert wait_for_the_end_of_all(tiny_config.parent) == 2


def test_a_parent_that_is_killed_leaves_no_process_and_the_state(tiny_config):
    done = train(interrupting(tiny_config, signal.SIGKILL, True), "--device-ids", "0,1")
    assert done.returncode == -signal.SIGKILL
    assert wait_for_the_end_of_all(tiny_config.parent) == 2
    assert load_checkpoint(tiny_config.parent / "ckpt/float-checkpoint-last.pth.tar")["step"] >= 3


def test_one_process_is_interrupted_and_resumed(tiny_config, capsys):
    plain = tiny_config.read_text()
    interrupting(tiny_config, signal.SIGINT, False)
    words = ["--stage", "float", "--config", str(tiny_config)]
    assert run_command("train", words) == 130
    assert re.search(r"^interrupted: saved .* at step 3 of", capsys.readouterr().err, re.M)
    tiny_config.write_text(plain)
    assert run_command("train", [*words, "--resume"]) == 0
    assert load_checkpoint(tiny_config.parent / "ckpt/float-checkpoint-last.pth.tar")["step"] == 6


def test_data_workers_that_end_with_the_group_are_no_failure(tiny_config):
    """As a terminal or a batch system does it: the signal goes to every process of the group."""
    config = interrupting(tiny_config, 0, False)
    config.write_text(config.read_text().replace("data_num_workers = 0", "data_num_workers = 2"))
    process = subprocess.Popen(
        [sys.executable, "-m", "hat.cli.main", "train", "--stage", "float", "-c", str(config)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: list(config.parent.glob("pid-*")), process)
    os.killpg(process.pid, signal.SIGTERM)
    error = process.communicate(timeout=WATCHDOG_SECONDS)[1]
    assert process.returncode == 143
    assert "Traceback" not in error
    assert "interrupted: saved " in error


def test_calibration_says_that_nothing_is_kept(tiny_config, capsys):
    words = ["--config", str(tiny_config)]
    assert run_command("train", ["--stage", "float", *words]) == 0
    text = "from tests.cli.test_interrupted import SignalAtBegin\n" + tiny_config.read_text()
    tiny_config.write_text(text + "val_callback = dict(type=SignalAtBegin)\n")
    assert run_command("train", ["--stage", "calibration", *words]) == 130
    note = "this stage saves at its end only; run the same command again"
    assert capsys.readouterr().err.splitlines()[-1] == f"interrupted: {note}"
    assert not list(tiny_config.parent.glob("ckpt/calibration-checkpoint-*"))


@OBJECT_REGISTRY.register
class SignalAtBegin(StatsMonitor):
    def __init__(self, **_: Any) -> None:
        super().__init__()

    def on_loop_begin(self, trainer: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
