"""A command's files in a folder that holds files of others too: only its own are replaced.

``.hat-infer.json`` in the folder (of ``hat infer``) names what was made there, with size and time
of change. A file that it does not name, or that has changed since, is somebody else's.

During a run ``.hat-infer.journal`` gets a line for each group of files, before they get their
names, so that a run which is killed leaves nothing behind that nobody owns, and owns nothing else.

:mod:`hat.owned_folder` is for folders that belong to one run as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hat.data.files import write_json
from hat.errors import InputError
from hat.provenance import clock
from horizon.files import discard

SHOWN = 5  # files that a message names


class OwnFiles:
    """What the command ``made_by`` (such as "hat infer") makes in ``folder``, which may be missing.

    Args:
        option: which gives another folder, for messages.
    """

    def __init__(self, folder: Path, made_by: str, option: str) -> None:
        self.folder = folder
        self.made_by = made_by
        self.option = option
        self.manifest = folder / f".{made_by.replace(' ', '-')}.json"
        self.journal = self.manifest.with_suffix(".journal")
        self._lock = threading.Lock()
        self._owned: dict[str, Any] = {}  # states by names, during :meth:`making`

    def check(self, patterns: Iterable[str]) -> None:
        """See that nothing of others' would be replaced; nothing is changed.

        Args:
            patterns: names, or patterns as of :mod:`fnmatch`, of the files that will be made.

        Raises:
            InputError: there is such a file already, and this command did not make it or it has
                changed since; or the manifest cannot be read.
        """
        files = self._read()
        self._refuse([path.name for path in self._matching(patterns) if not _own(path, files)])

    @contextlib.contextmanager
    def making(self, patterns: Iterable[str]) -> Iterator[None]:
        """Own what the block announces by :meth:`note`, however it ends.

        Raises:
            InputError: as :meth:`check`, or the folder cannot be made or written.
        """
        self.check(patterns)
        new = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot make this folder: {error.strerror}; choose another "
                f"{self.option}"
            ) from error
        self._settle()
        try:
            yield
        finally:
            with contextlib.suppress(InputError):  # a full disk must not hide what went wrong
                self._settle()
            if new:
                with contextlib.suppress(OSError):  # unless something is in it
                    self.folder.rmdir()

    def note(self, staging: Path) -> None:
        """Own the files below ``staging``, which are finished and will now move into the folder.

        Many threads may do so at the same time.

        Raises:
            InputError: one of them would replace a file that somebody else has put there meanwhile.
            OSError: the journal cannot be written.
        """
        found = {
            path.relative_to(staging).as_posix(): _state(path)
            for path in staging.rglob("*")
            if path.is_file()
        }
        with self._lock:
            there = [name for name in found if os.path.lexists(self.folder / name)]
            self._refuse(
                [name for name in there if not _own(self.folder / name, self._owned, name)]
            )
            with open(self.journal, "a", encoding="utf-8") as journal:
                journal.write(f"{json.dumps(found)}\n")
            self._owned.update(found)

    def _refuse(self, foreign: list[str]) -> None:
        if foreign:
            more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
            raise InputError(
                f"{self.folder}: {', '.join(foreign[:SHOWN])}{more} would be overwritten, which "
                f"{self.made_by} has not made or which has changed since; choose another "
                f"{self.option}, or move these files away. They were left as they are"
            )

    def _matching(self, patterns: Iterable[str]) -> list[Path]:
        """Existing files with such names, in order."""
        names, masks = set(), []
        for pattern in patterns:
            masks.append(pattern) if "*" in pattern else names.add(pattern)
        if not self.folder.is_dir():
            return []
        return sorted(
            path
            for path in self.folder.iterdir()
            if (path.name in names or any(fnmatchcase(path.name, mask) for mask in masks))
            and (path.is_symlink() or path.is_file())
        )

    def _settle(self) -> None:
        """Bring the journal into the manifest; what is gone or has changed is dropped."""
        files = self._read()
        self._owned = {
            name: state for name, state in files.items() if _own(self.folder / name, files, name)
        }
        if self._owned:
            content = {"made_by": self.made_by, "changed": clock(), "files": self._owned}
            write_json(self.manifest, content)
        else:
            discard(self.manifest)
        discard(self.journal)

    def _read(self) -> dict[str, Any]:
        """States of the files by their names, of the manifest and of the journal."""
        files: dict[str, Any] = {}
        try:
            if self.manifest.exists():
                files.update(json.loads(self.manifest.read_text(encoding="utf-8"))["files"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.manifest}: cannot be used ({error}); choose another {self.option}, or "
                "remove this file"
            ) from error
        if self.journal.is_file():
            for line in self.journal.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, TypeError):  # cut off where the power failed
                    files.update(json.loads(line))
        return files


def _own(path: Path, files: dict[str, Any], name: str | None = None) -> bool:
    """Whether the file is as it was noted under ``name``, by default its own."""
    try:
        return not path.is_symlink() and files.get(name or path.name) == _state(path)
    except OSError:
        return False


def _state(path: Path) -> list[int]:
    status = path.lstat()
    return [status.st_size, status.st_mtime_ns]
