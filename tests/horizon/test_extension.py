"""What is said where the compiled part of the package is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hat.data.image_io import write_png
from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS

# As on a machine where nothing was compiled: the module is not found.
MISSING = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "horizon._native":
            raise ImportError("cannot import name '_native' from 'horizon'")
sys.meta_path.insert(0, Without())
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", MISSING + program]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=WATCHDOG_SECONDS)


@pytest.mark.parametrize("words", [["fit_host", "--help"], ["infer", "a.png", "b.png", "-o", "x"]])
def test_a_command_says_in_one_line_how_to_build_it(words, tmp_path):
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, np.zeros((32, 32, 3), np.uint8))
    words = [str(tmp_path / word) if word in ("a.png", "b.png", "x") else word for word in words]
    found = run(f"from hat.cli.main import main\nsys.exit(main({words!r}))")
    assert found.returncode == 2, found.stderr
    assert found.stderr.count("\n") == 1
    assert found.stderr.startswith("error: horizon._native, the compiled part of this package")
    assert "make native" in found.stderr
    assert "pip install ." in found.stderr


def test_an_import_names_the_command_too():
    found = run(
        "try:\n    import horizon.runtime\n"
        "except ImportError as error:\n    print('make native' in str(error))"
    )
    assert (found.stdout, found.stderr) == ("True\n", "")
