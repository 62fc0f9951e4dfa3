"""The end of a test run says what did not run and what brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import missing
from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS


def test_kinds_are_counted_with_their_commands():
    reasons = [
        "Skipped: missing: qemu; qemu-aarch64-static is not installed",
        "Skipped: missing: qemu",
        "Skipped: does not fit",
    ]
    assert missing.summary(reasons) == [
        "   2  qemu: apt-get install -y qemu-user-static",
        "   1  other reasons: see pytest -rs",
    ]


def test_every_tool_has_a_kind_and_no_kind_is_made_up():
    assert set(missing.TOOLS.values()) <= set(missing.KINDS)
    with pytest.raises(AssertionError):
        missing.skip_without("a dishwasher")


def test_a_run_ends_with_what_was_skipped(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(
        "from tests.missing import skip_without\ndef test_it():\n    skip_without('clang')\n"
    )
    words = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*words, str(test)], cwd=ROOT, capture_output=True, text=True, timeout=WATCHDOG_SECONDS
    )
    assert "1 tests did not run on this machine" in found.stdout
    assert "   1  clang: apt-get install -y clang" in found.stdout
