"""What a run's result depends on, as plain text, to compare a resumed run with the one before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from hat.registry import Component, join_path

# Where results go and how often they are shown; which processes compute them.
WITHOUT_EFFECT = {
    "checkpoint_path",
    "device",
    "epoch_log_freq",
    "keep_epochs",
    "log_freq",
    "log_interval",
    "log_prefix",
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "prefetch_factor",
    "save_dir",
    "save_interval",
    "step_log_freq",
    "step_log_interval",
}


def settings_of(component: Component) -> dict[str, str]:
    """Every argument of ``component``, by its path inside of it, as text."""
    found: dict[str, str] = {}
    _collect(component, "", found)
    return found


def changed_settings(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The differences between two runs' settings, a line each: name, old value, new value."""
    return [
        f"{name}: {before.get(name, 'not set')} in the run, {now.get(name, 'not set')} now"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]


def _collect(value: Any, path: str, found: dict[str, str]) -> None:
    if isinstance(value, Component):
        found[join_path(path, "type")] = getattr(value.target, "__name__", str(value.target))
        value = value.arguments
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in WITHOUT_EFFECT:
                _collect(item, join_path(path, key), found)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _collect(item, join_path(path, index), found)
    else:
        found[path] = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return str(value.tolist())
    if isinstance(value, np.generic):
        return repr(value.item())
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
