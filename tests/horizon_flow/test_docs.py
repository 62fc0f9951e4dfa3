"""What docs/flow_model.md shows runs."""

from __future__ import annotations

import argparse
import re
from typing import Any

import cv2
import numpy as np
import pytest

from hat.cli import export_network
from tests.conftest import ROOT
from tests.horizon_flow.conftest import images

TEXT = (ROOT / "docs" / "flow_model.md").read_text()


def test_the_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frames = images(3, 64, 96)
    writer = cv2.VideoWriter("video.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 10, (96, 64))
    for name, frame in zip(("a.png", "b.png", "c.png"), frames, strict=True):
        cv2.imwrite(name, frame)
        writer.write(frame)
    writer.release()
    two_images, video = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(two_images, names)
    assert names["flow"].shape == (64, 96, 2)
    assert names["flow"].dtype == np.float32
    exec(video, names)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("words", re.findall(r"^hat export-network (.*)$", TEXT, re.MULTILINE))
def test_the_commands_are_understood(words):
    parser = argparse.ArgumentParser()
    export_network.add_arguments(parser)
    arguments = parser.parse_args(words.split())
    assert arguments.output.endswith(".npz")
    assert arguments.config == "CONFIG" or (ROOT / arguments.config).exists()
