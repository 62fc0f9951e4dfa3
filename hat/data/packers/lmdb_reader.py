"""Reading a packed data set: ``data.mdb`` with one record per pair and one that describes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lmdb

from hat.data.records import Record, decode_record
from hat.errors import InputError

__all__ = ["DATASET_VERSION", "META_KEY", "LmdbReader"]

META_KEY = b"__meta__"
DATASET_VERSION = 1

# LMDB wants a file opened at most once per process, so readers of one file share it. The key is
# the real path and what changes if the file does: device, inode, size, time. A forked child must
# not use what its parent opened, hence the process in the value.
_environments: dict[tuple[str, int, int, int, int], tuple[int, lmdb.Environment]] = {}


def _environment(folder: Path) -> lmdb.Environment:
    path = folder / "data.mdb"
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot read this data set: {error.strerror}") from error
    key = (
        os.path.realpath(path),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
    )
    for other, (pid, environment) in list(_environments.items()):
        stale = pid != os.getpid() or (other[0] == key[0] and other != key)
        if stale:  # inherited by a fork, or the file was replaced
            environment.close()
            del _environments[other]
    if key in _environments:
        return _environments[key][1]
    try:
        # No lock: a finished data set does not change. No read-ahead: access is random.
        environment = lmdb.open(
            os.fsencode(folder), readonly=True, lock=False, readahead=False, create=False, max_dbs=0
        )
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    except lmdb.Error as error:
        raise InputError(f"{path}: not a readable LMDB file, or damaged: {error}") from error
    if status.st_size < needed:  # reading on would end in a bus error
        environment.close()
        raise InputError(
            f"{path}: truncated: {status.st_size} bytes, its index says {needed}; pack it again"
        )
    _environments[key] = (os.getpid(), environment)
    return environment


class LmdbReader:
    """Random access to the records of a packed data set.

    Safe in worker processes: the file is opened by the process that reads, at its first access;
    pickling keeps the path only.

    Raises:
        InputError: no packed data set, of another version, unfinished, damaged or truncated.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._handle: tuple[int, lmdb.Environment] | None = None
        self.meta: dict[str, Any] = self._read(META_KEY, "its description").attributes
        found = (self.meta.get("kind"), self.meta.get("version"))
        if found != ("optical flow pairs", DATASET_VERSION):
            raise InputError(
                f"{self.folder}: a data set of kind {found[0]!r}, version {found[1]!r}; this "
                f"program reads 'optical flow pairs', version {DATASET_VERSION}: pack it again"
            )
        names = self.meta.get("names")
        if not isinstance(names, list) or len(names) != self.meta.get("count") or not names:
            raise InputError(
                f"{self.folder}: its description lists {len(names or [])} names for "
                f"{self.meta.get('count')} pairs; pack it again"
            )
        self.names: list[str] = [str(name) for name in names]

    def read(self, name: str) -> Record:
        """The record of one pair.

        Raises:
            InputError: it is missing or damaged.
        """
        return self._read(name.encode(), f"record {name!r}")

    def _read(self, key: bytes, what: str) -> Record:
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), _environment(self.folder))
        try:
            with self._handle[1].begin(buffers=True) as transaction:
                data = transaction.get(key)
                if data is not None:
                    return decode_record(data, f"{self.folder / 'data.mdb'}, {what}")
        except lmdb.Error as error:
            raise InputError(
                f"{self.folder / 'data.mdb'}, {what}: the index is damaged: {error}; pack the data "
                "set again"
            ) from error
        hint = "; not a data set of the packer, or an unfinished one" if key == META_KEY else ""
        raise InputError(f"{self.folder / 'data.mdb'}: {what} is missing{hint}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}
