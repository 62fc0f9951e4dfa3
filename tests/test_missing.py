"""The end of a test run says what did not run and what brings it."""

from __future__ import annotations

import shutil
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


CI = ROOT / ".ci" / "run"
INSTALL = "apt-get install -y "


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A PATH with what .ci/run itself needs, and an apt-get that notes what it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname"):
        (folder / name).symlink_to(shutil.which(name))
    for name, text in {
        "id": "echo 0",
        "make": "exit 0",
        "apt-get": f'echo "$*" >> {tmp_path}/asked; [[ "$*" != *valgrind ]]',
    }.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return tmp_path


def run_ci():
    return subprocess.run(
        [str(CI)], capture_output=True, text=True, check=True, timeout=WATCHDOG_SECONDS
    )


def test_the_checks_install_every_package_and_say_which_did_not_come(commands):
    wanted = {
        command.removeprefix(INSTALL)
        for command in missing.KINDS.values()
        if command.startswith(INSTALL)
    }
    done = run_ci()
    asked = (commands / "asked").read_text().splitlines()
    assert {line.split()[-1] for line in asked if line.startswith("install")} == wanted
    assert "not installed: valgrind. The tests" in done.stderr


def test_the_checks_install_nothing_that_is_there(commands):
    for name in (*missing.TOOLS, "google-chrome"):
        (commands / "bin" / name).touch(0o755)
    done = run_ci()
    assert not (commands / "asked").exists()
    assert done.stderr == ""


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
