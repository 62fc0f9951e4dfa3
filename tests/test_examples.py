"""The scripts in examples/ run, and do what they say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.data.flow_io import read_flo
from horizon_flow.cache import VARIABLE
from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS
from tests.sequences.media import SIZE, write_pictures, write_video

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MOST_LINES = 40


def output_of(name: str, *words: object, folder: Path) -> str:
    """What the example prints; it runs in ``folder``."""
    found = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", VARIABLE: str(folder / "cache")},
        timeout=WATCHDOG_SECONDS,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_is_a_page_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert f"\npython examples/{path.name}" in (ast.get_docstring(ast.parse(text)) or "")


def test_own_network(tmp_path: Path) -> None:
    printed = output_of("own_network.py", folder=tmp_path)
    pattern = r"float (\S+)%, integers (\S+)%, 0 of 10000 integers differ"
    matched = re.search(pattern, printed)
    assert matched, printed
    floating, integers = map(float, matched.groups())
    assert floating > 95
    assert integers > floating - 0.5


def test_two_inputs_and_two_outputs(tmp_path: Path) -> None:
    lines = output_of("two_inputs.py", folder=tmp_path).splitlines()
    told = "integers that differ, of each output: [0, 0]"
    assert lines == [f"{march}: {told}" for march in ("host", "nash-e")]


def test_two_images(tmp_path: Path) -> None:
    one, two = write_pictures(tmp_path, 2)
    printed = output_of("two_images.py", one, two, "out", folder=tmp_path)
    flow = read_flo(tmp_path / "out.flo")
    assert flow.shape == (*SIZE, 2)
    assert np.abs(flow.mean(axis=(0, 1)) - (3, 1)).max() < 1.5
    assert cv2.imread(str(tmp_path / "out.png")).shape == (*SIZE, 3)
    assert re.match(r"mean motion \[.*\] px, longest \S+ px$", printed)


def test_video(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 3)
    assert output_of("video.py", clip, "out", folder=tmp_path) == "2 pictures in out\n"
    pictures = [cv2.imread(str(tmp_path / f"out/{number:04d}.png")) for number in (1, 2)]
    assert [picture.shape for picture in pictures] == [(*SIZE, 3)] * 2


def test_run_hbm(tmp_path: Path) -> None:
    program = ROOT / "tests/compatibility/files/0.1/host.hbm"
    lines = output_of("run_hbm.py", program, folder=tmp_path).splitlines()
    assert lines[:2] == [
        "takes img: uint8 (1, 6, 32, 48) NCHW",
        "gives flow: int32 (1, 2, 8, 12) NCHW",
    ]
    assert re.fullmatch(r"  integers -?\d+\.\.-?\d+: \S+", lines[2])
