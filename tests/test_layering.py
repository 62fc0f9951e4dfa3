"""The arrows of the architecture: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TORCH_ROOMS = ("horizon/nn", "horizon/quantization")


def imports(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, wherever the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


HORIZON = sorted((ROOT / "horizon").rglob("*.py"))


@pytest.mark.parametrize("path", HORIZON, ids=lambda p: str(p.relative_to(ROOT)))
def test_horizon_knows_nothing_of_hat(path):
    assert "hat" not in imports(path)
    if not str(path.relative_to(ROOT)).startswith(TORCH_ROOMS):
        assert not imports(path) & {"torch", "torchvision"}


@pytest.mark.parametrize("module", ["horizon", "hat.cli.flyingchairs_generator", "hat.config"])
def test_what_does_without_torch_does_not_load_it(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_tutorial_s_collate_function_is_reached_from_hat():
    code = "import hat; assert callable(hat.data.collates.collate_2d)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
