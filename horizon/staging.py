"""Temporary folders in the folder of the results: made, removed, and cleared of killed processes.

A process holds a lock on each of its own, which the system lets go of when the process ends. So one
that can be locked was left behind by a process that was killed. On a file system without locks
nothing is cleared.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from horizon.errors import InputError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"\.staging-[a-z0-9_]{8}\.tmp")  # as tempfile.mkdtemp makes them
_locks: dict[Path, int] = {}  # open folders of this process
_cleared: set[Path] = set()


def new_staging_folder(folder: str | os.PathLike[str]) -> Path:
    """A new temporary folder in ``folder``, which is made if it is missing.

    The first one of a process in a folder also removes those that killed processes left there.

    Raises:
        InputError: it cannot be made.
    """
    final = Path(folder)
    try:
        final.mkdir(parents=True, exist_ok=True)
        if final.absolute() not in _cleared:
            _cleared.add(final.absolute())
            _clear(final)
        while True:
            staging = Path(tempfile.mkdtemp(prefix=".staging-", suffix=".tmp", dir=final))
            if _hold(staging):
                return staging
    except OSError as error:
        raise InputError(
            f"{final}: cannot write to this folder: {error.strerror}; give another one"
        ) from error


def remove_staging_folder(staging: Path) -> None:
    """Remove what :func:`new_staging_folder` gave, with all that is in it."""
    shutil.rmtree(staging, ignore_errors=True)
    handle = _locks.pop(staging, None)
    if handle is not None:
        os.close(handle)


def is_staging(name: str) -> bool:
    """Whether the name is one that :func:`new_staging_folder` gives."""
    return _NAME.fullmatch(name) is not None


def _hold(staging: Path) -> bool:
    """Lock a folder of this process; False if another process has just cleared it away."""
    if fcntl is None:
        return True
    try:
        handle = os.open(staging, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    except OSError:  # a file system without locks, where nobody clears either
        os.close(handle)
        return True
    if not staging.exists():
        os.close(handle)
        return False
    _locks[staging] = handle
    return True


def _clear(folder: Path) -> None:
    """Remove the staging folders of this user whose process is gone."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [Path(entry) for entry in entries if is_staging(entry.name)]
        for staging in left:
            with contextlib.suppress(OSError):  # locked, of no locks, or gone meanwhile
                handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.fstat(handle).st_uid == os.geteuid():
                        shutil.rmtree(staging, ignore_errors=True)
                finally:
                    os.close(handle)
