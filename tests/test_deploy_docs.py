"""What docs/deploy.md shows: its Python runs, its options and messages exist."""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hat.cli.main import run_command
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "deploy.md").read_text()


def test_the_python_runs(
    four_stages: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["-c", str(four_stages), "--out-dir", str(tmp_path / "out"), "--size", "64", "128"]
    assert run_command("compile_perf", words) == 0
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    capsys.readouterr()
    exec(code, names)
    assert capsys.readouterr().out == "img uint8 (1, 6, 64, 128) NCHW\n"
    assert names["pixels"].shape == (1, 2, 16, 32)
    assert np.isfinite(names["pixels"]).all()


@pytest.mark.parametrize("command", ["compile_perf", "align_bpu_validation", "infer"])
def test_the_commands_are_understood(command: str) -> None:
    lines = re.findall(rf"^python3 tools/{command}\.py (.*?)(?:\s+#.*)?$", TEXT, re.MULTILINE)
    parser = argparse.ArgumentParser()
    importlib.import_module(f"hat.cli.{command}").add_arguments(parser)
    assert lines
    for line in lines:
        parser.parse_args(line.split())


def test_the_files_that_it_names_are_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_header_has_the_functions_of_the_c_part() -> None:
    header = (ROOT / "csrc" / "include" / "horizon_runtime.h").read_text()
    (code,) = re.findall(r"```c\n(.*?)```", TEXT, re.DOTALL)
    functions = re.findall(r"\b(hrt_\w+)\(", code)
    assert len(functions) == 4
    assert all(f" {name}(" in header for name in functions)
