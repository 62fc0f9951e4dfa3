"""What the processes of --jobs load."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def test_compiling_and_estimating_do_without_torch() -> None:
    """It takes seconds to load, in each process."""
    code = "import sys, hat.deploy.estimate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
