"""A folder of results that is known by its manifest: only what was made here is ever removed.

``.hat-manifest.json`` in the folder names every file that was made, with its SHA-256, by whom,
when and with which versions. What it does not name, or what has changed since, belongs to somebody
else: such a folder is refused, and nothing in it is touched.

Before files are made the manifest names them by patterns. Where a run was killed in between, nobody
knows which of the files with such names it has made: the next run moves them to a folder beside.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from hat.errors import InputError
from hat.provenance import clock
from horizon.files import final_name, json_text, write_files
from horizon.staging import is_staging

MANIFEST = ".hat-manifest.json"
FORMAT = "hat-folder"
SHOWN = 5  # foreign entries that a message names
CHUNK = 1 << 20


class OwnedFolder:
    """The folder of one run of a command.

    Args:
        path: may be missing.
        made_by: the command, such as "hat demo".
        option: which gives another folder.
        entries: names of the files and folders, at the top, that the command makes.
    """

    def __init__(self, path: Path, made_by: str, option: str, entries: tuple[str, ...]) -> None:
        self.path = path
        self.made_by = made_by
        self.option = option
        self.entries = entries
        self._manifest: dict[str, Any] = {}

    def check(self, overwrite: bool = False) -> None:
        """See that a run may begin here; nothing is changed.

        Raises:
            InputError: ``path`` is a file, holds what the manifest does not name or what has
                changed since, or, without ``overwrite``, holds an earlier run.
        """
        if not os.path.lexists(self.path):
            return
        if not self.path.is_dir():
            raise InputError(f"{self.path}: is no folder; choose another {self.option}")
        manifest = self._read()
        files = manifest.get("files", {})
        others = (
            path
            for path in _files_below(self.path)
            if not (self._is_own(path, manifest) or self._was_announced(path, manifest))
        )
        # The first ones are enough: the folder may be somebody's whole disk.
        foreign = [str(path.relative_to(self.path)) for path in islice(others, SHOWN + 1)]
        if foreign:
            more = " and more" if len(foreign) > SHOWN else ""
            raise InputError(
                f"{self.path}: holds what {self.made_by} has not made, or what has changed since: "
                f"{', '.join(foreign[:SHOWN])}{more}; choose another {self.option}, or move these "
                "away. Nothing was changed"
            )
        if manifest and not overwrite:
            state = f"finished {manifest['finished']}" if manifest.get("finished") else "unfinished"
            raise InputError(
                f"{self.path}: holds an earlier run of {manifest.get('made_by')} (started "
                f"{manifest.get('started')}, {state}, {len(files)} files); keep it and choose "
                f"another {self.option}, or replace it with --overwrite"
            )

    @contextlib.contextmanager
    def run(self, versions: Mapping[str, str], overwrite: bool = False) -> Iterator[None]:
        """Own the folder during the block: what it makes is noted, however the block ends.

        Raises:
            InputError: as :meth:`check`; the folder cannot be written.
        """
        self.check(overwrite)
        manifest = self._read()
        self._set_aside(manifest)
        self._remove(manifest)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot make this folder: {error.strerror}; choose another "
                f"{self.option}"
            ) from error
        self._manifest = {
            "format": FORMAT,
            "made_by": self.made_by,
            "started": clock(),
            "finished": None,
            "versions": dict(versions),
            "making": [],
            "files": {},
        }
        self.note()
        try:
            yield
            self._manifest["finished"] = clock()
        except BaseException:
            with contextlib.suppress(InputError):  # a full disk must not hide what went wrong
                self.note()
            raise
        self.note()

    def note(self) -> None:
        """Write into the manifest what has been made so far, of what was announced too."""
        files = self._manifest["files"]
        self._manifest["making"] = []
        for entry in self.entries:
            top = self.path / entry
            for path in [top] if top.is_file() else _files_below(top):
                if not path.is_symlink():
                    files[path.relative_to(self.path).as_posix()] = _sha256(path)
        self._write()

    def announce(self, *patterns: str) -> None:
        """Write into the manifest what is going to be made, until :meth:`note` is called.

        Args:
            patterns: of paths in the folder, such as ``"train/float-*"``; ``*`` stands for slashes
                too.
        """
        self._manifest["making"] = list(patterns)
        self._write()

    def _write(self) -> None:
        text = json_text(self._manifest, indent=2) + "\n"
        write_files({self.path / MANIFEST: text.encode()})

    def _is_own(self, path: Path, manifest: Mapping[str, Any]) -> bool:
        if path.is_symlink():
            return False
        name = path.relative_to(self.path).as_posix()
        files = manifest.get("files", {})
        if name == MANIFEST or (name in files and _sha256(path) == files[name]):
            return True
        final = _final_name(name)
        if final == name:
            return False
        # A temporary name: of a file, or of the manifest, that a run was writing when it was killed
        return final == MANIFEST or self._was_announced(path, manifest)

    def _was_announced(self, path: Path, manifest: Mapping[str, Any]) -> bool:
        """Whether a run that was killed may have made it: it has such a name and is not older."""
        final = _final_name(path.relative_to(self.path).as_posix())
        announced = any(fnmatchcase(final, pattern) for pattern in manifest.get("making", []))
        if path.is_symlink() or not announced:
            return False
        return path.stat().st_mtime_ns >= (self.path / MANIFEST).stat().st_mtime_ns

    def _set_aside(self, manifest: Mapping[str, Any]) -> None:
        """Move what a killed run or somebody else may have made out of this folder."""
        found = [path for path in _files_below(self.path) if not self._is_own(path, manifest)]
        if not found:
            return
        folder = self.path.resolve()
        try:
            aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}-unfinished-", dir=folder.parent))
            for path in found:
                target = aside / path.relative_to(self.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
        except OSError as error:
            raise InputError(
                f"{self.path}: holds files of an unfinished run that cannot be moved to a folder "
                f"beside it: {error.strerror}; choose another {self.option}"
            ) from error
        print(
            f"{len(found)} files that an unfinished run of {self.made_by}, or somebody else, has "
            f"made in {self.path} are now in {aside}",
            file=sys.stderr,
        )
        self._remove_empty_folders([path.relative_to(self.path).as_posix() for path in found])

    def _remove(self, manifest: Mapping[str, Any]) -> None:
        """Remove what the manifest names, and the folders that are empty then."""
        names = list(manifest.get("files", {}))
        if os.path.lexists(self.path):
            found = (path for path in _files_below(self.path) if self._is_own(path, manifest))
            names += [path.relative_to(self.path).as_posix() for path in found]
        names = [name for name in dict.fromkeys(names) if name != MANIFEST]
        for name in [*names, *([MANIFEST] if manifest else [])]:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise InputError(
                    f"{self.path / name}: cannot be removed: {error.strerror}; choose another "
                    f"{self.option}"
                ) from error
        self._remove_empty_folders(names)

    def _remove_empty_folders(self, names: list[str]) -> None:
        """Remove the folders of what was in them, as far as they are empty now."""
        parents = {self.path / parent for name in names for parent in PurePosixPath(name).parents}
        for folder in sorted(parents - {self.path}, key=lambda one: len(one.parts), reverse=True):
            with contextlib.suppress(OSError):  # not empty, or gone
                folder.rmdir()

    def _read(self) -> dict[str, Any]:
        """The manifest; empty where there is none.

        Raises:
            InputError: it is not one, or names files outside of the folder.
        """
        path = self.path / MANIFEST
        if not os.path.lexists(path):
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            files = content["files"] if content["format"] == FORMAT else None
            making = content.get("making", [])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._bad_manifest(str(error)) from error
        texts = isinstance(making, list) and all(isinstance(one, str) for one in making)
        if not isinstance(files, dict) or not texts:
            raise self._bad_manifest("no manifest of a folder")
        for name in files:
            parts = PurePosixPath(name).parts
            inside = parts and not name.startswith("/") and ".." not in parts
            if not inside or any((self.path / p).is_symlink() for p in _prefixes(parts)):
                raise self._bad_manifest(f"it names {name!r}, which is not in this folder")
        return dict(content)

    def _bad_manifest(self, reason: str) -> InputError:
        return InputError(
            f"{self.path / MANIFEST}: cannot be used ({reason}); choose another {self.option}, or "
            "move this folder away"
        )


def _files_below(folder: Path) -> Iterator[Path]:
    """All that is no folder, links included, which are not followed; in order."""
    for root, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        yield from (Path(root, name) for name in sorted([*files, *links]))


def _final_name(name: str) -> str:
    """The path that a temporary file is to have; any other's own."""
    parts = [part for part in name.split("/") if not is_staging(part)]
    parts[-1] = final_name(parts[-1]) or parts[-1]
    return "/".join(parts)


def _prefixes(parts: tuple[str, ...]) -> list[Path]:
    return [Path(*parts[:count]) for count in range(1, len(parts) + 1)]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
