"""Whole files in and out: readable errors when reading, all or nothing when writing."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hat.errors import InputError

__all__ = ["atomic_path", "read_file", "write_file", "write_json"]


def read_file(path: str | os.PathLike[str], what: str = "file") -> np.ndarray:
    """The bytes of a file as a writable uint8 array.

    Raises:
        InputError: the file is missing, empty, a folder, or cannot be read.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{os.fspath(path)}: cannot read this {what}: {reason}") from error
    if data.size == 0:
        raise InputError(f"{os.fspath(path)}: this {what} is empty (0 bytes)")
    return data


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
        raise InputError(f"{final}: cannot write this file: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], *parts: bytes | memoryview) -> None:
    """Write ``parts``, one after the other, as the file ``path``: whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        for part in parts:
            file.write(part)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON: whole or not at all."""
    write_file(path, (json.dumps(content, indent=2) + "\n").encode())
