"""``hat flow-statistics``: tables of drawn and read flow beside the published figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hat.cli.main import main
from hat.data.flow_io import write_flo
from hat.data.synthesis.published import PUBLISHED

QUICK = ["--pairs", "2", "--size", "48", "64"]


def test_drawn_and_read_flow_beside_the_published(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "data" / "below"
    folder.mkdir(parents=True)
    flow = np.zeros((20, 30, 2), np.float32)
    flow[..., 0] = 12.0
    write_flo(folder / "a.flo", flow)
    out = tmp_path / "found.json"
    words = [*QUICK, "--motions", "small", "sintel", "--data", str(tmp_path / "data")]
    words += ["--shapes", "furniture=2", "wires", "--background-layers", "1", "3"]
    assert main(["flow-statistics", *words, "--json", str(out)]) == 0
    text = capsys.readouterr().out
    for name in ("small", "sintel", str(tmp_path / "data"), *PUBLISHED):
        assert name in text
    found = json.loads(out.read_text())["found"]
    assert found["small"]["speeds"][2] == 0
    assert found["small"]["fields"] == 2
    assert len(found["sintel"]["deciles"]) == 9
    read = found[str(tmp_path / "data")]
    assert read["mean"] == 12
    assert read["speeds"] == [0, 1, 0]
    assert read["leaving"] == pytest.approx(12 / 30)


def test_only_data_and_the_same_again(tmp_path: Path, capsys) -> None:
    write_flo(tmp_path / "a.flo", np.ones((8, 8, 2), np.float32))
    assert main(["flow-statistics", "--motions", "--data", str(tmp_path)]) == 0
    assert "chairs" not in capsys.readouterr().out
    texts = []
    for _ in range(2):
        assert main(["flow-statistics", *QUICK, "--motions", "spread"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--motions", "fast"], "motions must give weights to some of chairs, spread"),
        (["--pairs", "0"], "expected at least 1 pair"),
        (["--shapes", "cats"], "shapes must give weights"),
        (["--objects", "9", "2"], "objects is (fewest, most)"),
        (["--size", "0", "20"], "size is two whole numbers"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", "."], "no flow files"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch, capsys, words, message) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["flow-statistics", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_the_result_never_overwrites_what_was_read(tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.flo"
    write_flo(file, np.ones((8, 8, 2), np.float32))
    before = file.read_bytes()
    words = ["--motions", "--data", str(tmp_path), "--json", str(file)]
    assert main(["flow-statistics", *words]) == 2
    assert "overwrite the input" in capsys.readouterr().err
    assert file.read_bytes() == before
