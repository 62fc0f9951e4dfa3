"""Warnings of libraries are advice to programmers: they go to a command's log, not to its console.

What the user's own files warn of is shown as ever. So is everything where Python was asked for
warnings, by ``-W`` or ``PYTHONWARNINGS``.
"""

from __future__ import annotations

import logging
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOGGER = "py.warnings"  # as logging.captureWarnings calls it
INTERNAL = "Triggered internally at"  # of torch's C++, which no frame stands for

_PACKAGES = Path(__file__).resolve().parents[1]  # with hat and horizon: their lines call C++
_LIBRARIES = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")]
_LIBRARIES += [_PACKAGES / "hat", _PACKAGES / "horizon"]


def log_library_advice() -> None:
    """Send them to :data:`LOGGER` from now on, in this process."""
    if sys.warnoptions or isinstance(warnings.showwarning, _Show):
        return
    logger = logging.getLogger(LOGGER)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # without a log they go nowhere
    warnings.showwarning = _Show(warnings.showwarning)


@contextmanager
def library_advice_logged() -> Iterator[None]:
    """:func:`log_library_advice` in the block."""
    before = warnings.showwarning
    log_library_advice()
    try:
        yield
    finally:
        warnings.showwarning = before


class _Show:
    """Takes the place of ``warnings.showwarning``."""

    def __init__(self, before: Callable[..., None]) -> None:
        self.before = before

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if file is not None or not (INTERNAL in str(message) or _is_library(_who_warns())):
            self.before(message, category, filename, lineno, file, line)
            return
        text = f"{filename}:{lineno}: {category.__name__}: {message}"
        logging.getLogger(LOGGER).warning("%s", text)


def _who_warns() -> str:
    """The file that calls ``warnings.warn``: a library may say that its caller's caller does."""
    frame = sys._getframe(2)  # behind the one that shows the warning
    while frame.f_back is not None and frame.f_globals.get("__name__") == "warnings":
        frame = frame.f_back
    return frame.f_code.co_filename


def _is_library(filename: str) -> bool:
    return any(Path(filename).is_relative_to(folder) for folder in _LIBRARIES)
