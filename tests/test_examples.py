"""The scripts in examples/ run, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS


def output_of(name: str) -> str:
    found = subprocess.run(
        [sys.executable, ROOT / "examples" / name],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=WATCHDOG_SECONDS,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_own_network() -> None:
    printed = output_of("own_network.py")
    pattern = r"float (\S+)%, integers (\S+)%, 0 of 10000 integers differ"
    matched = re.search(pattern, printed)
    assert matched, printed
    floating, integers = map(float, matched.groups())
    assert floating > 95
    assert integers > floating - 0.5


def test_two_inputs_and_two_outputs() -> None:
    lines = output_of("two_inputs.py").splitlines()
    assert lines[-2:] == [f"{march}: 0 of 3077 integers differ" for march in ("host", "nash-e")]
