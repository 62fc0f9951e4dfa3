"""What torch and torchmetrics advise programmers of stays off the user's console."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.tiny import write_config
from tests.conftest import ROOT

# A command that does what libraries warn of: torch's Python, torchmetrics, and torch's C++.
PROGRAM = """
import sys
from hat.cli import calops, logs, main

def run(args):
    import torch, torchmetrics
    if sys.argv[1] == "log":
        logs.setup_logging(file_follows=True)
    torch.nn.functional.softmax(torch.zeros(2, 2))
    torchmetrics.MeanMetric().compute()
    torch.meshgrid(torch.zeros(2), torch.zeros(2))
    if sys.argv[1] == "log":
        logs.log_to_file(sys.argv[2])
        torch.nn.functional.softmin(torch.zeros(2, 2))
    return 0

calops.run = run
sys.exit(main.main(["calops", "-c", "unused"]))
"""
FIRST = ("Implicit dimension choice for softmax", "``compute`` method", "torch.meshgrid")
LAST = "Implicit dimension choice for softmin"


def run(*words: str, **environment: str) -> str:
    """What it writes to the console."""
    unset = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env={**unset, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_the_console_stays_clean() -> None:
    assert run("plain") == ""


def test_the_log_has_it_all(tmp_path: Path) -> None:
    assert run("log", str(tmp_path / "log.txt")) == ""
    lines = (tmp_path / "log.txt").read_text().splitlines()
    for line, part in zip(lines, (*FIRST, LAST), strict=True):
        assert part in line


def test_who_asks_python_for_warnings_gets_them() -> None:
    said = run("plain", PYTHONWARNINGS="default")
    assert all(part in said for part in FIRST)


def test_what_the_user_s_config_warns_of_is_shown(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    config.write_text("import warnings\nwarnings.warn('old settings')\n" + config.read_text())
    words = [sys.executable, "-m", "hat.cli.main", "calops", "-c", str(config)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "UserWarning: old settings" in done.stderr


def test_processes_of_a_command_keep_it_to_themselves() -> None:
    program = (
        "from hat.processes import in_processes\n"
        "from tests.cli.test_library_advice import advised\n"
        "print(list(in_processes(advised, range(2), 2)))"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[0, 1]\n", "")


def advised(number: int) -> int:
    import torch

    torch.nn.functional.softmax(torch.zeros(2, 2))
    return number


def test_afterwards_all_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    from hat.cli.main import main

    before = warnings.showwarning
    assert main(["calops", "-c", "missing.py"]) == 2
    assert warnings.showwarning is before
