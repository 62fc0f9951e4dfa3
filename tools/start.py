"""Runs a command of the toolkit from a script in this folder.

Without the packages installed, the project's own virtual environment (made by ``make``) takes over,
so that ``python3 tools/train.py`` works in a checkout whether or not the environment is active.
"""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def start(command: str) -> None:
    """Run ``hat/cli/{command}.py`` with this process's arguments and exit."""
    if importlib.util.find_spec("hat") is None or importlib.util.find_spec("torch") is None:
        python = ROOT / ".venv" / "bin" / "python"
        if Path(sys.prefix) == ROOT / ".venv" or not python.exists():
            sys.exit("error: the packages are not installed; run 'make' in the project's folder")
        os.execv(python, [str(python), *sys.argv])
    from hat.cli.main import run_command

    sys.exit(run_command(command))
