"""A command's files in a folder that holds files of others too: only its own are replaced.

``.hat-infer.json`` in the folder (of ``hat infer``) names what was made there, with size and time
of change. A file that it does not name, or that has changed since, is somebody else's. Before files
are made they are announced, so that a run which is killed leaves nothing behind that nobody owns.

:mod:`hat.owned_folder` is for folders that belong to one run as a whole.
"""

from __future__ import annotations

import contextlib
import json
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

    def check(self, patterns: Iterable[str]) -> None:
        """See that nothing of others' would be replaced; nothing is changed.

        Args:
            patterns: names, or patterns as of :mod:`fnmatch`, of the files that will be made.

        Raises:
            InputError: there is such a file already, and this command did not make it or it has
                changed since; or the manifest cannot be read.
        """
        content = self._read()
        foreign = [path.name for path in self._matching(patterns) if not _own(path, content)]
        if foreign:
            more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
            raise InputError(
                f"{self.folder}: {', '.join(foreign[:SHOWN])}{more} would be overwritten, which "
                f"{self.made_by} has not made or which has changed since; choose another "
                f"{self.option}, or move these files away. Nothing was changed"
            )

    @contextlib.contextmanager
    def making(self, patterns: Iterable[str]) -> Iterator[None]:
        """Own what the block makes, however it ends.

        Raises:
            InputError: as :meth:`check`, or the folder cannot be made or written.
        """
        patterns = list(patterns)
        self.check(patterns)
        new = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot make this folder: {error.strerror}; choose another "
                f"{self.option}"
            ) from error
        content = self._read()
        noted = {
            path.name: _state(path)
            for path in map(self.folder.joinpath, content.get("files", {}))
            if path.is_file() and _own(path, content)
        }
        noted.update({path.name: _state(path) for path in self._matching(patterns)})
        self._write(noted, patterns)
        try:
            yield
        finally:
            noted.update({path.name: _state(path) for path in self._matching(patterns)})
            with contextlib.suppress(InputError):  # a full disk must not hide what went wrong
                if noted:
                    self._write(noted, [])
                else:
                    discard(self.manifest)
            if new:
                with contextlib.suppress(OSError):  # unless something is in it
                    self.folder.rmdir()

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

    def _write(self, files: dict[str, Any], making: list[str]) -> None:
        write_json(
            self.manifest,
            {"made_by": self.made_by, "changed": clock(), "making": making, "files": files},
        )

    def _read(self) -> dict[str, Any]:
        if not self.manifest.exists():
            return {}
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
            files, making = content["files"], content["making"]
            if not isinstance(files, dict) or not isinstance(making, list):
                raise TypeError("no list of files")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.manifest}: cannot be used ({error}); choose another {self.option}, or "
                "remove this file"
            ) from error
        content["since"] = self.manifest.stat().st_mtime_ns
        return dict(content)


def _own(path: Path, content: dict[str, Any]) -> bool:
    if path.is_symlink() or not content:
        return False
    if content["files"].get(path.name) == _state(path):
        return True
    announced = any(
        path.name == pattern or fnmatchcase(path.name, str(pattern))
        for pattern in content["making"]
    )
    # What is older than the announcement was there before.
    return announced and path.stat().st_mtime_ns >= content["since"]


def _state(path: Path) -> list[int]:
    status = path.lstat()
    return [status.st_size, status.st_mtime_ns]
