"""Algorithm toolkit: data, models, training engine, metrics, pictures and command lines.

Sub-packages load when they are first used (``hat.data.collates.collate_2d``), so that a program
which needs one of them does not wait for all.
"""

import importlib
from types import ModuleType

_PACKAGES = (
    "analysis",
    "config",
    "data",
    "engine",
    "export",
    "inference",
    "metrics",
    "models",
    "registry",
    "visualize",
)


def __getattr__(name: str) -> ModuleType:
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
