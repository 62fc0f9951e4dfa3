"""Outputs are checked against inputs, and that they can be written, before anything is computed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hat.config.source import config_files
from hat.errors import InputError
from hat.outputs import check_outputs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "truth.flo"
    path.parent.mkdir()
    path.write_text("mine")
    return path


def refused(output: Path, source: Path, message: str = "would overwrite the input gt") -> None:
    with pytest.raises(InputError, match=message):
        check_outputs([output], {"gt": source, "ckpt": None}, "--out-dir")


def test_the_same_file_by_any_name(tmp_path: Path, source: Path) -> None:
    hard, soft, folder = tmp_path / "hard.flo", tmp_path / "soft.flo", tmp_path / "linked"
    os.link(source, hard)
    soft.symlink_to(source)
    folder.symlink_to(source.parent)
    spelled = tmp_path / "in" / ".." / "in" / "truth.flo"
    for output in (source, hard, soft, folder / "truth.flo", spelled):
        refused(output, source)
    refused(tmp_path / "later.flo", tmp_path / "later.flo")  # a file that is not there yet
    check_outputs([tmp_path / "in" / "other.flo"], {"gt": source}, "--out-dir")


def test_a_file_of_an_input_folder(source: Path) -> None:
    refused(source, source.parent)
    check_outputs([source.parent / "new.json"], {"data": source.parent}, "--json")


def test_two_outputs_that_are_one_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two results would have this file"):
        check_outputs([tmp_path / "a", tmp_path / "b" / ".." / "a"], {}, "--out-dir")


def test_what_cannot_be_written(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_outputs([tmp_path / "new" / "deep" / "a"], {}, "--json")
    assert sorted(tmp_path.iterdir()) == [source.parent]  # nothing is left behind
    refused(tmp_path, source, "it is a folder; give --out-dir a file")
    refused(source / "below" / "a", source, r"truth\.flo is no folder; choose another --out-dir")

    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("builtins.open", no_room)
    refused(tmp_path / "a", source, "No space left on device; choose another --out-dir")


def test_devices_take_any_output() -> None:
    check_outputs(["/dev/null", "/dev/null"], {}, "--json")


def test_a_config_and_those_that_it_derives_from(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('_base_ = ["b.py", "sub/c.py"]\nx = "d.py"\n')
    (tmp_path / "b.py").write_text('_base_ = "sub/c.py"\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.py").write_text("y = 1\n")
    found = config_files(tmp_path / "a.py")
    assert {path.name for path in found} == {"a.py", "b.py", "c.py"}
    assert len(found) == 3
