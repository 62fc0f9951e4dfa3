"""Compiled programs that are kept, so that a network is compiled once for each image size.

A file's name ends in a digest of all that its content follows from: the network, the size and the
compiler's own source. It is written under another name and renamed, so that any number of processes
may share the folder; one that is damaged is compiled again. Where the folder cannot be written,
programs are compiled in memory.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import horizon
from horizon.errors import InputError
from horizon.files import atomic_path, discard, is_temporary
from horizon_flow.caller import warn_caller

VARIABLE = "HORIZON_FLOW_CACHE"
MOST_BYTES = 256 << 20  # a program of pwcnet_lite has 0.6 MB
ABANDONED = 3600.0  # seconds after which an unfinished file is that of a process that was killed
PROGRAM = re.compile(r".+-\d+x\d+-[0-9a-f]{16}\.hbm")
COMPILER = ("compiler", "hbir", "hbm", "isa", "march")
T = TypeVar("T")

_warned: set[Path | None] = set()


def cache_folder(given: str | os.PathLike[str] | None = None) -> Path | None:
    """Where compiled programs are kept; None if that is to be in a home folder and there is none.

    ``given``, else the environment variable HORIZON_FLOW_CACHE, else the platform's folder for
    caches: XDG_CACHE_HOME or ~/.cache, ~/Library/Caches on macOS, LOCALAPPDATA on Windows.

    Raises:
        InputError: the folder that is chosen is no path, or relative to nothing.
    """
    if given is not None and not isinstance(given, str | os.PathLike):
        raise InputError(f"cache_dir: found {given!r}, expected the path of a folder, or None")
    chosen = given if given is not None else os.environ.get(VARIABLE)
    if chosen:
        return _absolute(chosen, VARIABLE if given is None else "cache_dir")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
        home = "~/AppData/Local"
    elif sys.platform == "darwin":
        base, home = "", "~/Library/Caches"
    else:
        base, home = os.environ.get("XDG_CACHE_HOME", ""), "~/.cache"
    if not os.path.isabs(base):  # by its specification, XDG_CACHE_HOME counts as unset then
        base = os.path.expanduser(home)
    return Path(base, "horizon-flow") if os.path.isabs(base) else None


def _absolute(path: str | os.PathLike[str], name: str) -> Path:
    folder = Path(os.path.expanduser(path))
    if "\0" in str(folder):
        raise InputError(f"{name}: found {str(folder)!r}, expected the path of a folder")
    try:
        return folder.absolute()
    except FileNotFoundError as error:
        raise InputError(
            f"{name}: {folder} is relative, and the working directory has been removed; give an "
            "absolute path, or change to a folder that exists"
        ) from error


def program_file(folder: Path, title: str, network: bytes) -> Path:
    """Where a program is kept.

    Args:
        title: what was compiled, ending in the size of the images.
        network: the file that it was compiled from.
    """
    digest = hashlib.sha256(compiler_digest())
    digest.update(title.encode())
    digest.update(network)
    return folder / f"{title}-{digest.hexdigest()[:16]}.hbm"


@functools.cache
def compiler_digest() -> bytes:
    """A digest of the compiler's sources and data: a changed compiler may make other programs."""
    base = Path(horizon.__file__).parent
    files = [path for room in COMPILER for path in (base / room).rglob("*")]
    files += Path(__file__).parent.glob("*.py")
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.suffix in (".py", ".toml"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.digest()


def load_or_make(
    path: Path | None, load: Callable[[Path | bytes], T], make: Callable[[], bytes | None]
) -> T | None:
    """What ``load`` gives for the file, or, where that is missing or damaged, for a new program.

    None if ``make`` gives none.
    """
    if path is not None and (loaded := _load_file(path, load)) is not None:
        return loaded
    data = make()
    if data is None:
        return None
    loaded = load(data)
    keep(path, data)
    return loaded


def _load_file(path: Path, load: Callable[[Path | bytes], T]) -> T | None:
    """None if the file is missing, not to be read or damaged."""
    with contextlib.suppress(OSError, InputError):
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            return None
        loaded = load(path)
        with contextlib.suppress(OSError):  # the folder may be for reading only
            os.utime(path)  # those used last stay when the cache is pruned
        return loaded
    return None


def keep(path: Path | None, data: bytes) -> None:
    """Write a program to the cache, and remove those that have not been used for longest.

    Where that is impossible there is one warning for each folder and process.
    """
    try:
        if path is None:
            raise InputError("there is no home folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is no regular file")
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        prune(path.parent)
    except (OSError, InputError) as error:
        folder = path and path.parent
        if folder not in _warned:
            _warned.add(folder)
            warn_caller(
                f"the compiled program cannot be kept, so each process compiles it again: {error}; "
                f"name another folder with {VARIABLE} or cache_dir"
            )


def prune(folder: Path, most: int = MOST_BYTES) -> None:
    """Keep the programs that were used last, ``most`` bytes together, and always the very last."""
    programs = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may remove it at the same time
            if PROGRAM.fullmatch(path.name):
                facts = path.stat()
                programs.append((facts.st_mtime, facts.st_size, path))
            elif is_temporary(path) and time.time() - path.stat().st_mtime > ABANDONED:
                discard(path)
    total = 0
    for number, (_, size, path) in enumerate(sorted(programs, reverse=True)):
        total += size
        if number and total > most:
            discard(path)
