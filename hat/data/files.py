"""Whole files in and out: readable errors when reading, all or nothing when writing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from hat.errors import InputError
from horizon.files import atomic_path, json_text, staging_folder, write_files

__all__ = [
    "atomic_path",
    "files_below",
    "json_text",
    "make_folder",
    "read_file",
    "staging_folder",
    "write_file",
    "write_files",
    "write_json",
]


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder and its parents; InputError if that fails."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot make this folder: {error.strerror}; give another one"
        ) from error
    return folder


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


def files_below(folder: Path) -> list[Path]:
    """All files in ``folder`` and in its folders, in order; links to folders are not followed.

    Raises:
        OSError: one of the folders may not be looked into, which ``Path.rglob`` passes over.
    """

    def stop(error: OSError) -> None:
        raise error

    found = [Path(root, name) for root, _, names in os.walk(folder, onerror=stop) for name in names]
    return sorted(found)


def write_file(path: str | os.PathLike[str], *parts: bytes | memoryview) -> None:
    """Write ``parts``, one after the other, as the file ``path``: whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        for part in parts:
            file.write(part)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all; numbers not finite are null.

    The folder is made if it is missing.
    """
    make_folder(Path(path).parent)
    write_file(path, (json_text(content, indent=2) + "\n").encode())
