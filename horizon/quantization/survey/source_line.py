"""File and line of the network's own source, for messages."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import torch

OURS = Path(__file__).parents[2]
TORCH = Path(torch.__file__).parent


def line_of_caller() -> str:
    """The line of the user's code that is running; "" if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return _shown(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def line_of_error(error: BaseException) -> str:
    """The line of the user's code that raised ``error``; "" if there is none."""
    places = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    users = [place for place in places if _is_users(place[0])]
    return _shown(*users[-1]) if users else ""


def _is_users(file: str) -> bool:
    parents = Path(file).parents
    return not file.startswith("<") and OURS not in parents and TORCH not in parents


def _shown(file: str, line: int) -> str:
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}:{line}"
