"""Machines that programs are compiled for: one description (TOML) each, read by ``load``."""

from __future__ import annotations

from horizon.march.machine import UNITS, Machine, Source, available, load

__all__ = ["UNITS", "Machine", "Source", "available", "load"]
