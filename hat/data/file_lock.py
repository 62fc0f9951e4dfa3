"""A lock on a file or folder that the system lets go of when the process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import sys
from pathlib import Path

from hat.errors import InputError

__all__ = ["lock_alone"]

# What a file system answers that has no such locks: some network and FUSE file systems.
UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def lock_alone(handle: int, path: Path, taken: str) -> None:
    """Lock the open file ``handle``; it is free again when that is closed.

    On a file system without locks a warning says that nothing keeps a second process out.

    Args:
        path: what is locked, for messages.
        taken: what to say if another process holds the lock.

    Raises:
        InputError: another process holds it, or locking fails otherwise.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{path}: {taken}") from error
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise InputError(f"{path}: cannot lock this folder: {error.strerror}") from error
        print(
            f"warning: {path}: its file system has no locks ({error.strerror}); see to it that no "
            "second process writes there",
            file=sys.stderr,
        )
