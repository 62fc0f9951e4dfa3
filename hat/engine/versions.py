"""With what a run was made."""

from __future__ import annotations

import platform
from importlib import metadata


def versions() -> dict[str, str]:
    """The versions of this project, Python and the libraries that training computes with."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("horizon-flow", "torch", "numpy")},
    }
