"""Locks: taken, missing on this file system, and failing."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from hat.data.file_lock import lock_alone
from hat.errors import InputError


@pytest.fixture
def handle(tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    yield handle
    os.close(handle)


def failing(number: int):
    def flock(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    return flock


def test_a_lock_that_another_holds(tmp_path, handle):
    lock_alone(handle, tmp_path, "somebody writes")
    other = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(InputError, match=f"^{tmp_path}: somebody writes$"):
        lock_alone(other, tmp_path, "somebody writes")
    os.close(other)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_no_other_process(
    tmp_path, handle, monkeypatch, capsys, number
):
    monkeypatch.setattr(fcntl, "flock", failing(number))
    lock_alone(handle, tmp_path, "somebody writes")
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {tmp_path}: its file system has no locks")
    assert "somebody" not in warning


def test_another_failure_keeps_its_own_words(tmp_path, handle, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(InputError, match="cannot lock this folder: Input/output error"):
        lock_alone(handle, tmp_path, "somebody writes")


@pytest.mark.parametrize("writer", ["packer", "generator"])
def test_work_goes_on_without_locks(tmp_path, monkeypatch, capsys, generated_chairs, writer):
    from hat.data.packers.flyingchairs import pack_flyingchairs
    from hat.data.synthesis.data_set import generate_data_set
    from hat.data.synthesis.settings import GeneratorSettings

    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    if writer == "packer":
        assert pack_flyingchairs(generated_chairs, tmp_path, "val", 0, progress=False).pairs == 4
    else:
        generate_data_set(tmp_path, GeneratorSettings(1, 0, (40, 56), seed=0))
    assert "has no locks" in capsys.readouterr().err
