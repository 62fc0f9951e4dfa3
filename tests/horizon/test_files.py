"""Files that are written as a whole or not at all; JSON that every reader takes."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from horizon.errors import InputError
from horizon.files import (
    atomic_path,
    atomic_paths,
    final_name,
    is_temporary,
    json_text,
    staging_folder,
    temporary_path,
    write_files,
)
from horizon.staging import is_staging
from tests.conftest import ROOT


def strict(text: str) -> object:
    """JSON as other languages read it: NaN and Infinity are no numbers."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_not_finite_are_null() -> None:
    content = {"a": [math.nan, (1.5, -math.inf)], "b": {"c": math.inf, "d": 3}, "e": None, "f": "x"}
    expected = {"a": [None, [1.5, None]], "b": {"c": None, "d": 3}, "e": None, "f": "x"}
    assert strict(json_text(content)) == expected
    assert strict(json_text(content, indent=2)) == expected


def test_one_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def stop() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        stop()
    assert path.read_text() == "before"
    with atomic_path(path) as temporary:
        temporary.write_text("after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_the_cause_is_told_where_the_temporary_file_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder that became read-only: unlink fails as well, with a message of its own."""

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "removal is refused", str(self))

    monkeypatch.setattr(Path, "unlink", unlink)
    message = r"a\.txt: cannot write this file: No space left"
    with pytest.raises(InputError, match=message), atomic_path(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_several_files_appear_together(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    paths[1].write_text("before")
    write_files({path: path.name.encode() for path in paths})
    assert [path.read_text() for path in paths] == ["a", "b", "c"]
    assert sorted(tmp_path.iterdir()) == paths


def test_of_several_files_none_appears_if_one_cannot_be_written(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "missing" / "c"]
    paths[1].write_text("before")
    with pytest.raises(InputError, match=r"missing.c: cannot write this file: No such file"):
        write_files(dict.fromkeys(paths, b"new"))
    assert not paths[0].exists()
    assert paths[1].read_text() == "before"
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: cannot write this file: it is a folder"):
        write_files({paths[0]: b"new", tmp_path / "folder": b"new"})
    assert sorted(tmp_path.iterdir()) == [paths[1], tmp_path / "folder"]


@pytest.mark.parametrize("links", [True, False])
def test_a_rename_that_fails_brings_the_earlier_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    paths = [tmp_path / name for name in ("new", "old", "locked")]
    for path in paths[1:]:
        path.write_text("before")
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if target == paths[2] and Path(source).read_bytes() == b"after":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        replace(source, target)

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "replace", refuse)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(InputError, match="locked: cannot write this file: Operation not permitted"):
        write_files(dict.fromkeys(paths, b"after"))
    assert not paths[0].exists()
    assert [path.read_text() for path in paths[1:]] == ["before", "before"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_named_with_the_file_that_did_not_fit(tmp_path: Path) -> None:
    """The system refuses files above a limit in the way in which a full disk does."""
    code = (
        "import sys; from pathlib import Path; from horizon.files import write_files\n"
        "folder = Path(sys.argv[1])\n"
        "write_files({folder / 'small': b'1', folder / 'large': bytes(5000)})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert "InputError" in done.stderr
    assert f"{tmp_path / 'large'}: cannot write this file: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    code = (
        "from horizon.files import atomic_path\n"
        "with atomic_path('/dev/stdout') as path: path.write_text('seen')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "seen", done.stderr
    assert Path("/dev/stdout").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_files({tmp_path / "pipe": b"through"})
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    write_files({link: b"after", tmp_path / "other": b""})
    assert target.read_text() == "before"
    assert link.read_text() == "after"


def test_long_names_and_names_of_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with atomic_paths([path, tmp_path / "short"]) as temporaries:
        assert all(is_temporary(one) for one in temporaries)
        for one in temporaries:
            one.touch()
    assert path.exists()
    for name in ("notes.tmp", ".notes.tmp", ".a.1.tmp", ".a.b.0123abcd.tmp"):
        assert not is_temporary(Path(name))


def test_a_temporary_file_is_known_as_that_of_its_final_one(tmp_path):
    assert final_name(temporary_path(tmp_path / "a.1.json").name) == "a.1.json"
    assert final_name("a.1.json") is None
    with staging_folder(tmp_path) as staging:
        assert is_staging(staging.name)
