"""Paths that a user gives: ``~`` is the home folder, inputs are looked up near the config as well.

What a run writes (``ckpt_dir``) is relative to the working directory, always. What it only reads
and a config names by a relative path (a data set, shipped checkpoints, images, a machine's
description) is looked up in the working directory, then in the folder of the config and in those
above it, up to the root of the project: the first folder with ``pyproject.toml`` or ``.git``.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT_MARKS = ("pyproject.toml", ".git")
_folders: list[Path] = []  # of the config that this process has read last


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
    return list(found.values())


def find_input(path: str | os.PathLike[str]) -> Path:
    """Where the input ``path`` is; relative to the working directory if it is nowhere."""
    tried = tried_paths(path)
    return next((place for place in tried if place.exists()), tried[0])


def also_tried(path: str | os.PathLike[str]) -> str:
    """``; also looked for A, B`` for the message that an input is missing, or an empty text."""
    others = tried_paths(path)[1:]
    return f"; also looked for {', '.join(map(str, others))}" if others else ""
