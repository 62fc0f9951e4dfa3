"""Paths that a user gives: ``~`` is the home folder, inputs are looked up near the config as well.

What a run writes (``ckpt_dir``) is relative to the working directory, always. What it only reads
and a config names by a relative path (a data set, shipped checkpoints, images, a machine's
description) is looked up in the working directory, then in the folder of the config and in those
above it, up to the root of the project: the first folder with ``pyproject.toml`` or ``.git``. At
last, a path that begins with ``models`` is looked up among the networks that came along.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from hat.errors import InputError
from hat.shipped import shipped_path

ROOT_MARKS = ("pyproject.toml", ".git")
_folders: list[Path] = []  # of the config that this process has read last


def expand_home(text: str) -> str:
    """``text`` with a home folder (``~/a``, ``~name/a``) at its beginning written out."""
    return os.path.expanduser(text) if re.match(r"~[\w.-]*(/|$)", text) else text


def expand_arguments(args: argparse.Namespace) -> None:
    """Write out home folders in everything that a command line gives, in place.

    A shell does so for a word that begins with ``~`` and not for ``--out-dir=~/a``.
    """
    for name, value in vars(args).items():
        setattr(args, name, _expanded(value))


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return expand_home(value)
    if isinstance(value, Path):
        return Path(expand_home(str(value)))
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return value


def search_inputs_from(config: Path) -> None:
    """Look inputs up in the folder of ``config``, too, and above it, from now on."""
    _folders[:] = []
    for folder in config.resolve().parents:
        _folders.append(folder)
        if any((folder / mark).exists() for mark in ROOT_MARKS):
            return
    del _folders[1:]  # no project around it: the config's own folder


def tried_paths(path: str | os.PathLike[str]) -> list[Path]:
    """Every place where the input ``path`` is looked up, in order and each once."""
    given = Path(path).expanduser()
    if given.is_absolute():
        return [given]
    found = {given.resolve(): given}
    for folder in _folders:
        found.setdefault((folder / given).resolve(), folder / given)
    if came_along := shipped_path(given):
        found.setdefault(came_along.resolve(), came_along)
    return list(found.values())


def find_input(path: str | os.PathLike[str], key: str | None = None) -> Path:
    """Where the input ``path`` is.

    If it is nowhere: relative to the working directory, or, with the config's ``key`` for it, an
    InputError that names every place.
    """
    tried = tried_paths(path)
    found = next((place for place in tried if place.exists()), None)
    if found is None and key is not None:
        raise InputError(f"{key}: {path} does not exist; looked for {_listed(tried)}")
    return found or tried[0]


def also_tried(path: str | os.PathLike[str]) -> str:
    """``; also looked for A, B`` for the message that an input is missing, or an empty text."""
    others = tried_paths(path)[1:]
    return f"; also looked for {_listed(others)}" if others else ""


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
