"""Files that are written as a whole or not at all, alone or several together.

JSON has no NaN and no infinity: :func:`json_text` writes ``null`` for them, so that every reader
takes the file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from horizon.errors import InputError
from horizon.staging import new_staging_folder, remove_staging_folder

AnyPath = str | os.PathLike[str]

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room for a file, or none that is allowed."""
_TEMPORARY = re.compile(r"\.(.*)\.\d+\.[0-9a-f]{8}\.tmp")
_KEPT_NAME = 40  # characters: with what is added, a long name stays one that a disk takes


@contextmanager
def atomic_path(path: AnyPath) -> Iterator[Path]:
    """A temporary path in the folder of ``path`` that becomes ``path`` if the block succeeds.

    Raises:
        InputError: the folder is missing, not writable, or the disk is full; ``path`` is then
            what it was before.
    """
    with atomic_paths([path]) as (temporary,):
        yield temporary


@contextmanager
def atomic_paths(paths: Iterable[AnyPath]) -> Iterator[list[Path]]:
    """A temporary path for each of ``paths``; all become theirs if the block succeeds, or none.

    A device or a pipe, such as /dev/stdout, is written to and never replaced.

    Raises:
        InputError: as :func:`atomic_path`, or one of ``paths`` is a folder.
    """
    finals = [Path(path) for path in paths]
    temporaries = [temporary_path(final) for final in finals]
    try:
        try:
            yield temporaries
        except OSError as error:
            raise _cannot_write(_final_of(error, temporaries, finals), error) from error
        _publish(list(zip(temporaries, finals, strict=True)))
    finally:
        for temporary in temporaries:
            discard(temporary)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write each of the files: all of them or none.

    Raises:
        InputError: as :func:`atomic_paths`.
    """
    with atomic_paths(contents) as temporaries:
        for temporary, content in zip(temporaries, contents.values(), strict=True):
            with open(temporary, "xb") as file:
                file.write(content)


@contextmanager
def staging_folder(folder: AnyPath) -> Iterator[Path]:
    """A temporary folder whose files all move into ``folder`` if the block succeeds, or none.

    ``folder`` is made if it is missing. Messages of errors in the block name the final files.

    Raises:
        InputError: as :func:`atomic_paths`, or the folder cannot be made.
    """
    final = Path(folder)
    staging = new_staging_folder(final)
    try:
        yield staging
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        targets = [final / path.relative_to(staging) for path in files]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        _publish(list(zip(files, targets, strict=True)))
    except OSError as error:
        raise _cannot_write(Path(error.filename or final), error) from error
    except InputError as error:
        raise InputError(str(error).replace(str(staging), str(final))) from error
    finally:
        remove_staging_folder(staging)


def json_text(content: Any, **options: Any) -> str:
    """``content`` as JSON that every reader takes: numbers that are not finite are ``null``.

    Args:
        content: dicts, lists, tuples, texts, numbers, booleans and None.
        options: of :func:`json.dumps`, such as ``indent``.
    """
    return json.dumps(_finite(content), allow_nan=False, **options)


def temporary_path(final: Path) -> Path:
    """A name that no other file has, in the same folder; elsewhere if ``final`` is a device."""
    name = f".{final.name[:_KEPT_NAME]}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    return Path(tempfile.gettempdir(), name) if is_device(final) else final.with_name(name)


def final_name(name: str) -> str | None:
    """Final name of a temporary file, cut to 40 characters; None if ``name`` is not temporary."""
    found = _TEMPORARY.fullmatch(name)
    return None if found is None else found[1]


def is_temporary(path: Path) -> bool:
    """Whether the name is one that :func:`temporary_path` gives."""
    return final_name(path.name) is not None


def is_device(path: Path) -> bool:
    """Whether ``path`` is something to write to rather than a file to replace."""
    if str(path.absolute()).startswith(("/dev/", "/proc/")) and not _in_shared_memory(path):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def discard(path: Path) -> None:
    """Remove a file that we made. An error here must not hide the reason for the removal."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _publish(pairs: list[tuple[Path, Path]]) -> None:
    """Give all files their final names; after a failure all finals are as before."""
    for _, final in pairs:
        if final.is_dir():
            raise InputError(f"{final}: cannot write this file: it is a folder; give a file's name")
    kept: dict[Path, Path] = {}
    replaced: list[Path] = []
    final = pairs[0][1] if pairs else Path()
    try:
        for temporary, final in pairs:
            if is_device(final):
                with open(temporary, "rb") as source, open(final, "wb") as target:
                    shutil.copyfileobj(source, target)
                continue
            if len(pairs) > 1 and os.path.lexists(final):
                kept[final] = _keep(final)
            os.replace(temporary, final)
            replaced.append(final)
    except OSError as error:
        for one in reversed(replaced):
            if one in kept:
                with contextlib.suppress(OSError):
                    os.replace(kept[one], one)
            else:
                discard(one)
        raise _cannot_write(final, error) from error
    finally:
        for copy in kept.values():
            discard(copy)


def _keep(final: Path) -> Path:
    """A second name of an existing file, by which it can come back."""
    kept = temporary_path(final)
    try:
        os.link(final, kept, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(final, kept, follow_symlinks=False)
    return kept


def _final_of(error: OSError, temporaries: list[Path], finals: list[Path]) -> Path:
    """The file that an error is about; the last one that was begun if the error does not say."""
    for temporary, final in zip(temporaries, finals, strict=True):
        if error.filename is not None and os.fspath(error.filename) == str(temporary):
            return final
    begun = [f for t, f in zip(temporaries, finals, strict=True) if t.exists()]
    return (begun or finals)[-1 if begun else 0]


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(
        f"{path}: cannot write this file: {reason}; expected a path in an existing folder "
        "with room on its disk"
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def _in_shared_memory(path: Path) -> bool:
    return str(path.absolute()).startswith("/dev/shm/")
