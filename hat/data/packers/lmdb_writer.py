"""Writing a packed data set so that it appears whole or not at all.

Records go into ``<name>.partial`` beside the final folder, in transactions that LMDB syncs to the
disk. Killed at any moment, the next run finds there which records are done and from which
source files, and continues. The last transaction adds the description; a rename then gives the
folder its final name.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from hat.data.file_lock import lock_alone
from hat.data.packers.lmdb_reader import DATASET_VERSION, META_KEY
from hat.data.records import FORMAT_VERSION, encode_record
from hat.errors import InputError

__all__ = ["LmdbWriter"]

FIRST_MAP_BYTES = 1 << 28  # grown as needed; a guess that is too large fails on small disks
BATCH_BYTES = 1 << 25
PLAN_KEY = b"plan"
LOCK_FILE = "packer.lock"
PARTIAL_FILES = {LOCK_FILE, "data.mdb", "lock.mdb", "probe"}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LmdbWriter:
    """The one writer of a packed data set; a context manager.

    ``plan`` identifies the work (source folder, split): a partial folder of another plan, or a
    damaged one, is started anew.

    Raises:
        InputError: the final folder exists and ``overwrite`` is false, the partial one holds what
            no packer has made, another packer is at work, the disk is full or not writable.
    """

    def __init__(self, final: Path, plan: Mapping[str, Any], overwrite: bool = False) -> None:
        self.final = final
        self.partial = final.with_name(final.name + ".partial")
        self.overwrite = overwrite
        self._plan = json.dumps(
            {**plan, "record": FORMAT_VERSION, "dataset": DATASET_VERSION}, sort_keys=True
        ).encode()
        self._batch: list[tuple[bytes, bytes, bytes]] = []
        self._batch_bytes = 0
        self.done: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> LmdbWriter:
        self._check_final()
        self._check_partial()
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.partial / LOCK_FILE, "a+b")
        except OSError as error:
            raise self._failure(error) from error
        try:
            lock_alone(
                self._lock.fileno(),
                self.partial,
                "another packer is writing this data set; wait for it or stop it",
            )
        except InputError:
            self._lock.close()
            raise
        try:
            self._check_final()  # the other packer may have finished in between
            self._open()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._environment.close()
        self._lock.close()
        if isinstance(error, lmdb.Error | OSError):
            raise self._failure(error) from error

    def add(self, name: str, record: bytes, progress: Mapping[str, Any]) -> None:
        """Add one record; ``progress`` is what a later run finds in ``done[name]``."""
        self._batch.append((name.encode(), record, json.dumps(progress).encode()))
        self._batch_bytes += len(record)
        if self._batch_bytes >= BATCH_BYTES:
            self.commit()

    def commit(self) -> None:
        """Write the records added so far to the disk."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0

        def write(transaction: lmdb.Transaction) -> None:
            for key, record, progress in batch:
                transaction.put(key, record)
                transaction.put(key, progress, db=self._progress)

        self._transact(write)

    def finish(self, names: Sequence[str], meta: Mapping[str, Any]) -> None:
        """Describe the data set, check that every name has its record, give it its final name."""
        self.commit()
        description = {
            "kind": "optical flow pairs",
            "version": DATASET_VERSION,
            **meta,
            "count": len(names),
            "names": list(names),
        }

        def write(transaction: lmdb.Transaction) -> None:
            transaction.drop(self._progress)
            wanted = {name.encode() for name in names}
            with transaction.cursor() as cursor:
                present = set(cursor.iternext(keys=True, values=False))
            for key in present - wanted:
                transaction.delete(key)
            if not wanted <= present:
                raise RuntimeError(f"{len(wanted - present)} records were never added")
            transaction.put(META_KEY, encode_record({}, description))

        self._transact(write)
        self._environment.sync(True)
        self._environment.close()
        self._publish()

    def _open(self) -> None:
        """Open the partial data set; start anew if it is damaged or belongs to another plan."""
        try:
            self._open_environment()
            with self._environment.begin() as transaction:
                usable = transaction.get(PLAN_KEY, db=self._progress) == self._plan
                if usable:
                    with transaction.cursor(db=self._progress) as cursor:
                        entries = [(bytes(k).decode(), bytes(v)) for k, v in cursor]
                    self.done = {k: json.loads(v) for k, v in entries if k != PLAN_KEY.decode()}
        except (lmdb.Error, ValueError):
            usable = False
        if not usable:
            if hasattr(self, "_environment"):
                self._environment.close()
            for name in ("data.mdb", "lock.mdb"):
                (self.partial / name).unlink(missing_ok=True)
            self.done = {}
            try:
                self._open_environment()
                self._transact(lambda t: t.put(PLAN_KEY, self._plan, db=self._progress))
            except (lmdb.Error, OSError) as error:
                raise self._failure(error) from error

    def _open_environment(self) -> None:
        # Without metasync a crash of the machine may lose the last transaction, never damage one.
        self._environment = lmdb.open(
            os.fsencode(self.partial),
            map_size=FIRST_MAP_BYTES,
            max_dbs=1,
            metasync=False,
            lock=False,
        )
        self._progress = self._environment.open_db(b"progress")

    def _transact(self, work: Any) -> None:
        """Run ``work(transaction)``; with a larger map, again, if the map is full."""
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    work(transaction)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def _publish(self) -> None:
        (self.partial / "lock.mdb").unlink(missing_ok=True)
        if self.final.exists():  # one rename of the one file replaces the data set at once
            os.replace(self.partial / "data.mdb", self.final / "data.mdb")
            (self.final / "lock.mdb").unlink(missing_ok=True)
            # Not earlier: another packer must not start in the folder that is being removed.
            (self.partial / LOCK_FILE).unlink()
            with contextlib.suppress(OSError):  # it holds something again, which is not ours
                self.partial.rmdir()
        else:
            os.rename(self.partial, self.final)
            # As above.
            (self.final / LOCK_FILE).unlink()
        for folder in (self.final, self.final.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def _check_final(self) -> None:
        if self.final.exists() and not self.overwrite:
            raise InputError(
                f"{self.final}: exists already; use it, or pack again with --overwrite (the "
                "present one stays until the new one is whole)"
            )
        if self.final.exists() and not (self.final / "data.mdb").is_file():
            raise InputError(f"{self.final}: exists and is no packed data set; move it away")

    def _check_partial(self) -> None:
        """The folder is a packer's if there is nothing else in it; its lock was made first."""
        try:
            names = set(os.listdir(self.partial))
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(
                f"{self.partial}: cannot read this folder: {error.strerror}; the packer works in "
                "it, move it away"
            ) from error
        foreign = sorted(names - PARTIAL_FILES if LOCK_FILE in names else names)
        if foreign:
            raise InputError(
                f"{self.partial}: holds what the packer has not made: {', '.join(foreign[:5])}; "
                "move this folder away. Nothing was changed"
            )

    def _failure(self, error: Exception) -> InputError:
        if not self._disk_is_full(error):
            return InputError(f"{self.partial}: cannot write: {error}")
        return InputError(
            f"{self.partial}: the disk is full ({error}); nothing is under the final name "
            f"{self.final.name}. Free some space and run the same command to continue, or delete "
            "this folder"
        )

    def _disk_is_full(self, error: Exception) -> bool:
        if getattr(error, "errno", None) in FULL:
            return True
        # LMDB calls a write that was cut short an input/output error; a probe tells the cause.
        probe = self.partial / "probe"
        try:
            with open(probe, "wb") as file:
                file.write(bytes(BATCH_BYTES))
                os.fsync(file.fileno())
        except OSError as reason:
            return reason.errno in FULL
        finally:
            probe.unlink(missing_ok=True)
        return any(os.strerror(code) in str(error) for code in FULL)
