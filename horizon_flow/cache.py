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
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import horizon
from horizon.errors import InputError
from horizon.files import atomic_path, discard, is_temporary

VARIABLE = "HORIZON_FLOW_CACHE"
MOST_PROGRAMS = 64  # of a third of a megabyte for pwcnet_lite
ABANDONED = 3600.0  # seconds after which an unfinished file is that of a process that was killed
PROGRAM = re.compile(r".+-\d+x\d+-[0-9a-f]{16}\.hbm")
COMPILER = ("compiler", "hbir", "hbm", "isa", "march")

T = TypeVar("T")
_warned: set[Path] = set()


def cache_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Where compiled programs are kept.

    ``given``, else the environment variable HORIZON_FLOW_CACHE, else the platform's folder for
    caches: XDG_CACHE_HOME or ~/.cache, ~/Library/Caches on macOS, LOCALAPPDATA on Windows.
    """
    chosen = given if given is not None else os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base), "horizon-flow").absolute()


def program_file(folder: Path, name: str, network: bytes, size: tuple[int, int]) -> Path:
    """Where the program of a network for a size is kept."""
    digest = hashlib.sha256(compiler_digest())
    digest.update(hashlib.sha256(network).digest())
    digest.update(f"{size[0]}x{size[1]}".encode())
    return folder / f"{name}-{size[1]}x{size[0]}-{digest.hexdigest()[:16]}.hbm"


@functools.cache
def compiler_digest() -> bytes:
    """Of the source of the compiler and of what it reads: another compiler, another program."""
    base = Path(horizon.__file__).parent
    digest = hashlib.sha256()
    for room in COMPILER:
        for path in sorted((base / room).rglob("*")):
            if path.suffix in (".py", ".toml"):
                digest.update(path.relative_to(base).as_posix().encode() + b"\0")
                digest.update(path.read_bytes())
    return digest.digest()


def keep(path: Path, data: bytes) -> None:
    """Write a program to the cache, and remove those that have not been used for longest.

    Where that is impossible there is one warning for each folder and process.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        prune(path.parent)
    except (OSError, InputError) as error:
        if path.parent not in _warned:
            _warned.add(path.parent)
            warnings.warn(
                f"the compiled program cannot be kept, so each process compiles it again: {error}; "
                f"name another folder with {VARIABLE} or cache_dir",
                stacklevel=2,
            )


def prune(folder: Path, most: int = MOST_PROGRAMS) -> None:
    """Remove the programs of the cache beyond the ``most`` that were used last."""
    programs = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may remove it at the same time
            if PROGRAM.fullmatch(path.name):
                programs.append((path.stat().st_mtime, path))
            elif is_temporary(path) and time.time() - path.stat().st_mtime > ABANDONED:
                discard(path)
    for _, path in sorted(programs, reverse=True)[most:]:
        discard(path)


def mark_used(path: Path) -> None:
    """Make the file the last one to be removed."""
    with contextlib.suppress(OSError):
        os.utime(path)


def load_or_make(path: Path, load: Callable[[Path | bytes], T], make: Callable[[], bytes]) -> T:
    """What ``load`` gives for the file, or, where that is missing or damaged, for a new program."""
    if path.is_file():
        try:
            loaded = load(path)
        except (InputError, OSError):
            pass
        else:
            mark_used(path)
            return loaded
    data = make()
    loaded = load(data)
    keep(path, data)
    return loaded
