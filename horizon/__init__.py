"""Fixed-point tool chain: quantisable layers, quantisation, program graph, compiler, runtime."""

from __future__ import annotations

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """``horizon.quantization`` after a plain ``import horizon``; torch loads only then."""
    if name in ("quantization", "nn", "hbir"):
        return importlib.import_module(f"horizon.{name}")
    raise AttributeError(f"module 'horizon' has no attribute {name!r}")
