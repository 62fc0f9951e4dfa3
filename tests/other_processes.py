"""Processes that a test stops: they wait where the test wants them, however slow the machine is.

Nothing here sleeps for as long as something is thought to take. ``WATCHDOG_SECONDS`` only ends what
would never end.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

WATCHDOG_SECONDS = 300.0
LOOK_SECONDS = 0.01  # between two looks
FOLDER = "HALT_FOLDER"  # the environment variable


def halt(folder: Path | None = None) -> None:
    """Say that this process has come here, and stay until :func:`release` is called.

    Args:
        folder: where to say it; default: the environment's HALT_FOLDER.
    """
    folder = Path(os.environ[FOLDER]) if folder is None else folder
    (folder / f"halted-{os.getpid()}").touch()
    while not (folder / "released").exists():
        time.sleep(LOOK_SECONDS)


def release(folder: Path) -> None:
    (folder / "released").touch()


def halted(folder: Path) -> list[int]:
    """The processes that have come to :func:`halt`."""
    return sorted(int(path.name.removeprefix("halted-")) for path in folder.glob("halted-*"))


def wait_until(
    condition: Callable[[], object], process: subprocess.Popen[str] | None = None
) -> None:
    """Come back when ``condition()`` is true; fail if ``process`` ends before."""
    deadline = time.monotonic() + WATCHDOG_SECONDS
    while not condition():
        if process is not None and process.poll() is not None:
            assert condition(), f"the process ended too soon, with exit code {process.returncode}"
            return
        assert time.monotonic() < deadline, "this never came"
        time.sleep(LOOK_SECONDS)


def wait_for_the_end_of(processes: Iterable[int]) -> None:
    """Of processes that end in their own time, after their parent has gone."""
    running = list(processes)
    wait_until(lambda: not any(map(is_running, running)))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
