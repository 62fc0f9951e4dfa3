"""Only files that the command made itself are replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hat.errors import InputError
from hat.own_files import OwnFiles


def own(folder: Path) -> OwnFiles:
    return OwnFiles(folder, "hat infer", "--save-path")


def refused(folder: Path, *patterns: str) -> str:
    with pytest.raises(InputError, match="Nothing was changed") as error:
        own(folder).check(patterns)
    return str(error.value)


def test_own_files_are_replaced_and_others_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with own(folder).making(["a.flo", "b_*.png"]):
        (folder / "a.flo").write_text("1")
        (folder / "b_1.png").write_text("1")
        (folder / "c.txt").write_text("of somebody else")
    own(folder).check(["a.flo", "b_*.png", "new.flo"])
    assert "c.txt would be overwritten" in refused(folder, "a.flo", "c.txt")
    with own(folder).making(["a.flo"]):
        (folder / "a.flo").write_text("2")
    own(folder).check(["a.flo", "b_1.png"])


def test_a_file_that_has_changed_is_somebody_else_s(tmp_path: Path) -> None:
    with own(tmp_path).making(["a.flo"]):
        (tmp_path / "a.flo").write_text("1")
    status = (tmp_path / "a.flo").stat()
    (tmp_path / "a.flo").write_text("edited")
    os.utime(tmp_path / "a.flo", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert "a.flo" in refused(tmp_path, "a.flo")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    (tmp_path / "a.flo").symlink_to(tmp_path / "mine")
    (tmp_path / "dead.flo").symlink_to(tmp_path / "nowhere")
    refused(tmp_path, "a.flo")
    refused(tmp_path, "dead.flo")


def test_what_a_killed_run_left_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "b_0.png").write_text("was there before")
    os.utime(tmp_path / "b_0.png", (1, 1))
    block = own(tmp_path).making(["a.flo", "b_[1]_*.png"])
    block.__enter__()
    (tmp_path / "a.flo").write_text("1")
    (tmp_path / "b_1_1.png").write_text("1")
    del block  # nothing is noted any more, as after kill -9
    own(tmp_path).check(["a.flo", "b_1_*.png"])
    assert "b_0.png" in refused(tmp_path, "a.flo", "b_0.png")


def test_files_are_noted_after_an_error(tmp_path: Path) -> None:
    block = own(tmp_path).making(["a.flo"])
    block.__enter__()
    (tmp_path / "a.flo").write_text("1")
    assert not block.__exit__(RuntimeError, RuntimeError(), None)
    own(tmp_path).check(["a.flo"])


def test_where_nothing_was_made_nothing_is_left(tmp_path: Path) -> None:
    with own(tmp_path).making(["a.flo"]):
        assert own(tmp_path).manifest.is_file()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_list_is_told(tmp_path: Path) -> None:
    own(tmp_path).manifest.write_text("{}")
    with pytest.raises(InputError, match=r"\.hat-infer\.json: cannot be used"):
        own(tmp_path).check(["a.flo"])
