"""What comes along with the package, found wherever it is installed: configs and trained networks.

The one place that knows where it lies: in a checkout, and in an installation of one that can be
edited, beside the packages; in any other, in ``hat/package_data``. Either has the folders
``configs`` and ``models``.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# what lies beside the packages of an installation is not ours
CHECKOUT = (PACKAGE.parent,) if (PACKAGE.parent / "pyproject.toml").is_file() else ()
ROOTS = (PACKAGE / "package_data", *CHECKOUT)
CONFIGS, MODELS = "configs", "models"


def shipped_path(path: str | os.PathLike[str]) -> Path | None:
    """Where the relative ``path``, which begins with ``configs`` or ``models``, came along."""
    relative = Path(path)
    if relative.is_absolute() or relative.parts[:1] not in ((CONFIGS,), (MODELS,)):
        return None
    return next((root / relative for root in ROOTS if (root / relative).exists()), None)


def shipped_configs() -> dict[str, Path]:
    """The configs that came along, by their names without ``.py``."""
    folder = shipped_path(CONFIGS)
    files = sorted(folder.rglob("*.py")) if folder else []
    return {file.stem: file for file in files}


def shipped_models() -> dict[str, Path]:
    """The folders of trained networks that came along, by their names."""
    folder = shipped_path(MODELS)
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()} if folder else {}


def shipped_config(path: str | os.PathLike[str]) -> Path | None:
    """A config that came along, by its name, with or without ``.py``, or its path."""
    given = Path(path)
    if given.name == os.fspath(path):
        return shipped_configs().get(given.name.removesuffix(".py"))
    return shipped_path(given)


def find_config(path: str | os.PathLike[str]) -> Path:
    """The file of a config: ``path`` itself, or else one that came along.

    Where there is neither, ``path`` as it was given.
    """
    given = Path(path).expanduser()
    return given if given.is_file() else shipped_config(path) or given
