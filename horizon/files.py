"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from horizon.errors import InputError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of ``path`` that becomes ``path`` if the block succeeds.

    Raises:
        InputError: the folder is missing, not writable, or the disk is full; ``path`` is then
            what it was before.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, final)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{final}: cannot write this file: {reason}; expected a path in an existing folder "
            "with room on its disk"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
