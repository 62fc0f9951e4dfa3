"""Only files that the command made itself are replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hat.errors import InputError
from hat.own_files import OwnFiles
from horizon.files import staging_folder


def own(folder: Path) -> OwnFiles:
    return OwnFiles(folder, "hat infer", "--save-path")


def make(owner: OwnFiles, **contents: str) -> None:
    """Files NAME.flo, as a command makes them."""
    with staging_folder(owner.folder) as staging:
        for name, content in contents.items():
            (staging / f"{name}.flo").write_text(content)
        owner.note(staging)


def kill(owner: OwnFiles, patterns: list[str], **contents: str) -> None:
    """A run that makes files and ends without settling anything, as after kill -9."""
    owner.making(patterns).__enter__()
    make(owner, **contents)


def edit(path: Path, content: str) -> None:
    before = path.stat().st_mtime_ns
    path.write_text(content)
    os.utime(path, ns=(before + 1, before + 1))


def refused(folder: Path, *patterns: str) -> str:
    with pytest.raises(InputError, match="They were left as they are") as error:
        own(folder).check(patterns)
    return str(error.value)


def test_own_files_are_replaced_and_others_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    owner = own(folder)
    with owner.making(["a.flo", "b_*.flo"]):
        make(owner, a="1", b_1="1")
        (folder / "c.txt").write_text("of somebody else")
    own(folder).check(["a.flo", "b_*.flo", "new.flo"])
    assert "c.txt would be overwritten" in refused(folder, "a.flo", "c.txt")
    with owner.making(["a.flo"]):
        make(owner, a="2")
    own(folder).check(["a.flo", "b_1.flo"])
    assert not owner.journal.exists()


def test_a_file_that_has_changed_is_somebody_else_s(tmp_path: Path) -> None:
    owner = own(tmp_path)
    with owner.making(["a.flo"]):
        make(owner, a="1")
    edit(tmp_path / "a.flo", "2")
    assert "a.flo" in refused(tmp_path, "a.flo")


def test_a_file_that_comes_during_a_run_is_somebody_else_s(tmp_path: Path) -> None:
    owner = own(tmp_path)
    with owner.making(["*.flo"]):
        make(owner, a="1")
        (tmp_path / "b.flo").write_text("mine")
        with pytest.raises(InputError, match=r"b\.flo would be overwritten"):
            make(owner, b="1", c="1")
        edit(tmp_path / "a.flo", "edited")
        (tmp_path / "d.flo").write_text("mine too")
    assert (tmp_path / "b.flo").read_text() == "mine"
    assert not (tmp_path / "c.flo").exists()
    assert "a.flo, b.flo, d.flo would" in refused(tmp_path, "*.flo")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    (tmp_path / "a.flo").symlink_to(tmp_path / "mine")
    (tmp_path / "dead.flo").symlink_to(tmp_path / "nowhere")
    refused(tmp_path, "a.flo")
    refused(tmp_path, "dead.flo")


def test_what_a_killed_run_made_is_its_own_and_nothing_else(tmp_path: Path) -> None:
    kill(own(tmp_path), ["*.flo"], a="1", b="1", c="1")
    own(tmp_path).check(["*.flo"])
    edit(tmp_path / "b.flo", "edited")
    (tmp_path / "mine.flo").write_text("mine")  # newer than anything that the run has written
    assert "b.flo, mine.flo would" in refused(tmp_path, "*.flo")
    with own(tmp_path).making(["a.flo"]):
        pass
    assert sorted(json.loads(own(tmp_path).manifest.read_text())["files"]) == ["a.flo", "c.flo"]
    assert "b.flo, mine.flo would" in refused(tmp_path, "*.flo")


def test_a_journal_that_ends_in_the_middle_of_a_line(tmp_path: Path) -> None:
    kill(own(tmp_path), ["*.flo"], a="1")
    with open(own(tmp_path).journal, "a") as journal:
        journal.write('{"b.flo": [1')
    (tmp_path / "b.flo").write_text("1")
    own(tmp_path).check(["a.flo"])
    refused(tmp_path, "b.flo")


def test_two_runs_in_one_folder_keep_what_each_has_made(tmp_path: Path) -> None:
    first, second = own(tmp_path), own(tmp_path)
    with first.making(["a.flo"]):
        with second.making(["b.flo"]):
            make(first, a="1")
            make(second, b="1")
        make(first, a="2")
    own(tmp_path).check(["a.flo", "b.flo"])


def test_files_are_noted_after_an_error(tmp_path: Path) -> None:
    owner = own(tmp_path)
    block = owner.making(["a.flo"])
    block.__enter__()
    make(owner, a="1")
    assert not block.__exit__(RuntimeError, RuntimeError(), None)
    own(tmp_path).check(["a.flo"])
    assert not owner.journal.exists()


def test_where_nothing_was_made_nothing_is_left(tmp_path: Path) -> None:
    with own(tmp_path).making(["a.flo"]):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_list_is_told(tmp_path: Path) -> None:
    own(tmp_path).manifest.write_text("{}")
    with pytest.raises(InputError, match=r"\.hat-infer\.json: cannot be used"):
        own(tmp_path).check(["a.flo"])
