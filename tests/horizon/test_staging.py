"""Temporary folders: those of killed processes go, those of living ones stay."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from horizon import staging
from horizon.errors import InputError
from horizon.staging import is_staging, new_staging_folder, remove_staging_folder
from tests.conftest import ROOT

HOLD = """
import sys
from horizon.staging import new_staging_folder
folder = new_staging_folder(sys.argv[1])
(folder / "part.flo").write_bytes(b"half")
print(folder.name, flush=True)
sys.stdin.read()
"""


def as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process clears a folder once only."""
    monkeypatch.setattr(staging, "_cleared", set())


def test_that_of_a_killed_process_is_removed_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    other = tmp_path / process.stdout.readline().strip()
    try:
        as_a_new_process(monkeypatch)
        remove_staging_folder(new_staging_folder(tmp_path))
        assert (other / "part.flo").exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (other / "part.flo").exists()
    as_a_new_process(monkeypatch)
    own = new_staging_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == [own]
    remove_staging_folder(own)
    assert not list(tmp_path.iterdir())


def test_files_links_and_folders_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    (target / "kept").mkdir(parents=True)
    (tmp_path / ".staging-aaaaaaaa.tmp").write_bytes(b"a file")
    (tmp_path / ".staging-bbbbbbbb.tmp").symlink_to(target)
    (tmp_path / ".staging-notes.tmp").mkdir()
    before = sorted(tmp_path.rglob("*"))
    as_a_new_process(monkeypatch)
    remove_staging_folder(new_staging_folder(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_names_and_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    made = new_staging_folder(tmp_path / "new")
    assert is_staging(made.name)
    assert not is_staging(".staging-notes.tmp")
    remove_staging_folder(made)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to this folder"):
        new_staging_folder(tmp_path / "file")
