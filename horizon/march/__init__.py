"""Machines that programs are compiled for: one description (TOML) each, read by ``load``."""

from __future__ import annotations

from horizon.march.description import available, load
from horizon.march.machine import ARRAYS, UNITS, Array, Machine, SimpleUnit, Source, TensorUnit

__all__ = [
    "ARRAYS",
    "UNITS",
    "Array",
    "Machine",
    "SimpleUnit",
    "Source",
    "TensorUnit",
    "available",
    "load",
]
