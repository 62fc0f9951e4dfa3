"""With what, and when, a result was made."""

from __future__ import annotations

import contextlib
import platform
import time
import tomllib
from importlib import metadata
from pathlib import Path


def project_version() -> str:
    """Version of the installed package, or of the checkout."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("horizon-flow")
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"])


def versions() -> dict[str, str]:
    """The versions of this project, Python and the libraries that training computes with."""
    return {
        "python": platform.python_version(),
        "horizon-flow": project_version(),
        **{name: metadata.version(name) for name in ("torch", "numpy")},
    }


def clock() -> str:
    """The time now, as manifests keep it."""
    return time.strftime("%Y-%m-%d %H:%M:%S")
