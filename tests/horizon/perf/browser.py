"""Headless Chromium, for what only a browser can tell."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

from tests.missing import skip_without
from tests.other_processes import WATCHDOG_SECONDS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser() -> str:
    """The path of Chromium; skips the test, with a warning, where there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    warnings.warn(f"no browser ({', '.join(NAMES)}): the page's scripts were not run", stacklevel=2)
    return skip_without("Chromium")


def dump(page: str, folder: Path, address: str = "", run: str = "") -> tuple[str, str]:
    """The document after the scripts have run, and what they wrote to the console.

    Args:
        address: what follows the file's name.
        run: a script for the end of the page.
    """
    path = folder / "page.html"
    path.write_text(page.replace("</body>", f"<script>{run}</script></body>"))
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={folder / 'profile'}", "--window-size=1200,900"]
    command += ["--virtual-time-budget=2000", "--dump-dom", f"{path.as_uri()}{address}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS, check=True
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)
