"""File and line of the network's own source, for messages."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType

import torch

OURS = Path(__file__).parents[2]
TORCH = Path(torch.__file__).parent


def line_of_caller() -> str:
    """The line of the user's code that is running; "" if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if line := _line_in(frame, frame.f_lineno):
            return line
        frame = frame.f_back
    return ""


def line_of_error(error: BaseException) -> str:
    """The line of the user's code that raised ``error``; "" if there is none."""
    found, place = "", error.__traceback__
    while place is not None:
        found = _line_in(place.tb_frame, place.tb_lineno) or found
        place = place.tb_next
    return found


def _line_in(frame: FrameType, number: int) -> str:
    """The user's line that runs in a frame; "" for code that is not the user's.

    The code of a traced network is made from its graph. Such a network knows from which line each
    of its values comes (``source_lines``), and each line of its code gives one value.
    """
    file = frame.f_code.co_filename
    if _is_users(file):
        return shown(file, number)
    lines = getattr(frame.f_locals.get("self"), "source_lines", None)
    if not isinstance(lines, dict) or not file.startswith("<"):
        return ""
    return str(lines.get(linecache.getline(file, number).split("=")[0].strip(), ""))


def _is_users(file: str) -> bool:
    parents = Path(file).parents
    return not file.startswith("<") and OURS not in parents and TORCH not in parents


def shown(file: str, line: int) -> str:
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}:{line}"
