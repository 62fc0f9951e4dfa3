"""What the system refuses to do with a file, as the message of a command."""

from __future__ import annotations

import errno
import os

from horizon.files import FULL_DISK

LOOP = "Symlink loop from"  # how pathlib begins what it raises as a RuntimeError
NEXT_STEPS = {
    **dict.fromkeys(FULL_DISK, "free some space and try again"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), "give this user the permission, or choose another path"
    ),
    errno.EROFS: "choose a path on a disk that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "make the symbolic link lead to a file, or choose another path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def message_of(error: OSError | RuntimeError) -> str | None:
    """``FILE: reason; next step``; None for an error that says nothing of a file."""
    if not isinstance(error, OSError):
        text = str(error)
        if not text.startswith(LOOP):
            return None
        file = text.removeprefix(LOOP).strip(" '\"")
        return f"{file}: {os.strerror(errno.ELOOP)}; {NEXT_STEPS[errno.ELOOP]}"
    step = NEXT_STEPS.get(error.errno or 0, "check this path and try again")
    if error.filename is not None:
        reason = error.strerror or type(error).__name__
        return f"{os.fsdecode(error.filename)}: {reason}; {step}"
    if error.errno in FULL_DISK:
        return f"standard output: {error.strerror}; {step}"
    if error.errno == errno.ENOENT and _without_working_folder():
        return "the working directory has been removed; change to one that exists"
    return None


def _without_working_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False
