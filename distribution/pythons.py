"""The Python interpreters of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def pythons(versions: Iterable[str]) -> dict[str, str]:
    """An interpreter for each of the ``versions``, such as "3.12", that is there.

    Looked for on the path and among those that pyenv has installed.
    """
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = {}
    for version in versions:
        name = f"python{version}"
        places = [shutil.which(name), *map(str, sorted(installed.glob(f"{version}.*/bin/{name}")))]
        works = (place for place in places if place and _works(place))
        if python := next(works, None):
            found[version] = python
    return found


def _works(python: str) -> bool:
    """Whether it starts; a name that pyenv has put on the path may lead nowhere."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
