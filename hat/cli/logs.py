"""What a command logs: on the terminal above its progress bars, and in a file."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

from tqdm import tqdm

from hat import library_advice
from hat.run_log import not_written

FORMAT = logging.Formatter("%(asctime)s %(levelname).1s %(message)s")


def setup_logging(quiet: bool = False, file_follows: bool = False) -> None:
    """Log to the terminal, warnings only if ``quiet``; what libraries warn of is for the file.

    With ``file_follows`` the records are kept as well, for the file of :func:`log_to_file`.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    terminal: logging.Handler = _TqdmHandler()
    terminal.setLevel(logging.WARNING if quiet else logging.INFO)
    terminal.setFormatter(FORMAT)
    terminal.addFilter(lambda record: record.name != library_advice.LOGGER)
    library_advice.log_library_advice()  # a process that main() has not begun
    root.addHandler(terminal)
    if file_follows:
        root.addHandler(_Early())
    root.setLevel(logging.INFO)


def log_to_file(path: Path) -> None:
    """Log to the end of ``path`` too, beginning with what was kept for it.

    Raises:
        InputError: the file cannot be written, now or at a later record.
    """
    root = logging.getLogger()
    try:
        file = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise not_written(path, error) from error
    file.setFormatter(FORMAT)
    root.addHandler(file)
    for handler in list(root.handlers):
        if isinstance(handler, _Early):
            root.removeHandler(handler)
            for record in handler.buffer:
                file.emit(record)


class _Early(logging.handlers.BufferingHandler):
    """Keeps records until there is a file for them."""

    def __init__(self) -> None:
        super().__init__(capacity=0)

    def shouldFlush(self, record: logging.LogRecord) -> bool:
        return False


class _LogFile(logging.FileHandler):
    """Reports a full disk as an error of the command instead of printing a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        logging.getLogger().removeHandler(self)
        if isinstance(error, OSError):
            raise not_written(self.baseFilename, error) from error
        super().handleError(record)


class _TqdmHandler(logging.Handler):
    """Writes lines above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)
