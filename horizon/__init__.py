"""Fixed-point tool chain: quantisable layers, quantisation, program graph, compiler, runtime."""

from __future__ import annotations

import importlib
from types import ModuleType

ROOMS = ("compiler", "hbir", "hbm", "march", "nn", "quantization", "runtime")


def __getattr__(name: str) -> ModuleType:
    """``horizon.quantization`` after a plain ``import horizon``; torch loads only then."""
    if name in ROOMS:
        return importlib.import_module(f"horizon.{name}")
    raise AttributeError(f"module 'horizon' has no attribute {name!r}")
