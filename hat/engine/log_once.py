"""What a run says once, however often it is found."""

from __future__ import annotations

import functools
import logging

from hat.engine import distributed


@functools.cache
def log_once(logger: logging.Logger, text: str) -> None:
    """Log ``text`` the first time, in the main process."""
    if distributed.is_main():
        logger.info("%s", text)
