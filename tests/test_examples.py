"""The scripts in examples/ run, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS


def test_own_network() -> None:
    found = subprocess.run(
        [sys.executable, ROOT / "examples/own_network.py"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=WATCHDOG_SECONDS,
    )
    assert found.returncode == 0, found.stderr
    pattern = r"float (\S+)%, integers (\S+)%, 0 of 10000 integers differ"
    matched = re.search(pattern, found.stdout)
    assert matched, found.stdout
    floating, integers = map(float, matched.groups())
    assert floating > 95
    assert integers > floating - 0.5
