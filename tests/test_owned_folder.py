"""Only what the manifest names is removed, and only where nothing else changed hands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hat.errors import InputError
from hat.owned_folder import MANIFEST, OwnedFolder
from horizon.files import temporary_path
from tests.conftest import ROOT

VERSIONS = {"horizon-flow": "1"}


def folder(path: Path) -> OwnedFolder:
    return OwnedFolder(path, "hat demo", "--out-dir", ("report.html", "train"))


def make(path: Path, text: str = "x", overwrite: bool = False) -> None:
    with folder(path).run(VERSIONS, overwrite):
        (path / "train" / "deep").mkdir(parents=True)
        (path / "train" / "deep" / "a.txt").write_text(text)
        (path / "report.html").write_text(text)


def state(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_the_manifest_names_what_was_made(tmp_path: Path) -> None:
    make(tmp_path / "out")
    content = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert sorted(content["files"]) == ["report.html", "train/deep/a.txt"]
    assert content["versions"] == VERSIONS
    assert content["started"] <= content["finished"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused_and_stays(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis").mkdir()
    for name in ("thesis/a.txt", "b.txt", "train"):
        (tmp_path / name).write_text("mine")
    before = state(tmp_path)
    with pytest.raises(InputError, match=r"b\.txt, train, thesis/a\.txt; choose another --out-dir"):
        make(tmp_path, overwrite=overwrite)
    assert state(tmp_path) == before


def test_an_earlier_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    make(tmp_path, "first")
    with pytest.raises(InputError, match=r"earlier run of hat demo .*finished .*--overwrite"):
        make(tmp_path, "second")
    assert (tmp_path / "report.html").read_text() == "first"
    make(tmp_path, "second", overwrite=True)
    assert (tmp_path / "report.html").read_text() == "second"


def test_a_file_that_was_added_or_changed_keeps_the_folder_from_being_replaced(
    tmp_path: Path,
) -> None:
    make(tmp_path)
    (tmp_path / "train" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"train/notes\.txt"):
        make(tmp_path, overwrite=True)
    (tmp_path / "train" / "notes.txt").unlink()
    (tmp_path / "report.html").write_text("edited")
    with pytest.raises(InputError, match=r"changed since: report\.html"):
        make(tmp_path, overwrite=True)
    assert (tmp_path / "train" / "deep" / "a.txt").exists()


def test_what_a_stopped_run_has_made_is_its_own(tmp_path: Path) -> None:
    def stop() -> None:
        with folder(tmp_path).run(VERSIONS):
            (tmp_path / "report.html").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    with pytest.raises(InputError, match="unfinished, 1 files"):
        make(tmp_path)
    make(tmp_path, overwrite=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from hat.owned_folder import OwnedFolder
from horizon.files import staging_folder, temporary_path
path = Path(sys.argv[1])
owned = OwnedFolder(path, "hat demo", "--out-dir", ("report.html", "train"))
with owned.run({"horizon-flow": "1"}):
    (path / "report.html").write_text("first")
    owned.note()
    owned.announce("train/*.txt", "report.html")
    (path / "train" / "deep").mkdir(parents=True)
    (path / "train" / "deep" / "a.txt").write_text("made")
    (path / "report.html").write_text("second")
    temporary_path(path / "train" / "b.txt").write_text("half made")
    temporary_path(path / ".hat-manifest.json").write_text("half made")
    with staging_folder(path / "train") as staging:
        (staging / "c.txt").write_text("made")
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The folder of a run that was killed while it made files."""
    words = [sys.executable, "-c", KILLED, str(tmp_path / "out")]
    assert subprocess.run(words, cwd=ROOT).returncode == -signal.SIGKILL
    return tmp_path / "out"


def test_what_a_killed_run_has_made_is_its_own(killed: Path) -> None:
    assert len(state(killed)) == 6
    with pytest.raises(InputError, match=r"holds an earlier run .*unfinished.*--overwrite"):
        folder(killed).check()
    make(killed, overwrite=True)
    assert state(killed).keys() == {MANIFEST, "report.html", "train/deep/a.txt"}


def test_files_that_a_killed_run_or_the_user_has_made_are_moved_and_not_removed(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (killed / "train" / "deep" / "a.txt").write_text("edited")
    (killed / "train" / "mine.txt").write_text("mine")
    make(killed, overwrite=True)
    (aside,) = killed.parent.glob("out-unfinished-*")
    assert state(aside) == {
        "report.html": b"second",
        "train/deep/a.txt": b"edited",
        "train/mine.txt": b"mine",
    }
    assert f"are now in {aside}" in capsys.readouterr().err


def test_a_killed_run_owns_nothing_else(killed: Path) -> None:
    before = (killed / MANIFEST).stat().st_mtime_ns
    others = ["train/notes.tex", "notes.txt", "train/old.txt", ".thesis.tex.1.0123abcd.tmp"]
    for name in others:
        (killed / name).write_text("mine")
    os.utime(killed / "train" / "old.txt", ns=(before - 1, before - 1))  # moved here
    (killed / "train" / "link.txt").symlink_to(killed / "notes.txt")
    for name in [*others, "train/link.txt"]:
        kept = state(killed)
        with pytest.raises(InputError, match=name):
            make(killed, overwrite=True)
        assert state(killed) == kept
        (killed / name).unlink()
    make(killed, overwrite=True)


def test_a_first_manifest_that_was_half_written_is_no_foreign_file(tmp_path: Path) -> None:
    temporary_path(tmp_path / MANIFEST).write_text("{")
    make(tmp_path)
    assert state(tmp_path).keys() == {MANIFEST, "report.html", "train/deep/a.txt"}


def test_links_files_and_false_manifests(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("mine")
    out = tmp_path / "out"
    make(out)
    (out / "train" / "deep" / "a.txt").unlink()
    (out / "train" / "deep").rmdir()
    (out / "train" / "deep").symlink_to(outside)
    with pytest.raises(InputError, match="not in this folder"):
        make(out, overwrite=True)
    (out / "train" / "deep").unlink()
    for name in ("../outside/a.txt", str(outside / "a.txt")):
        content = json.loads((out / MANIFEST).read_text())
        (out / MANIFEST).write_text(json.dumps({**content, "files": {name: "0"}}))
        with pytest.raises(InputError, match="not in this folder"):
            make(out, overwrite=True)
    (out / MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="cannot be used"):
        make(out, overwrite=True)
    with pytest.raises(InputError, match="is no folder"):
        make(outside / "a.txt", overwrite=True)
    assert state(outside) == {"a.txt": b"mine"}


def test_the_working_folder_keeps_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work.py").write_text("mine")
    for path in (Path("."), Path("/"), tmp_path.parent):
        with pytest.raises(InputError, match="has not made"):
            folder(path).check(overwrite=True)
    assert state(tmp_path) == {"work.py": b"mine"}
