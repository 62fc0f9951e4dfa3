"""The calops command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hat.cli.calops import parse_shape
from hat.cli.main import run_command
from hat.errors import InputError
from tests.cli.tiny import write_config

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py"


def test_the_tutorials_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("calops", ["--config", CONFIG]) == 0
    printed = capsys.readouterr().out
    assert "14,092,482" in printed
    assert "40.85 GMAC" in printed
    assert "1x6x384x512" in printed


def test_table_is_aligned_and_equals_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = write_config(tmp_path), tmp_path / "counts.json"
    assert run_command("calops", ["-c", str(config), "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    assert content["input_shape"] == [1, 6, 64, 128]
    assert content["parameters"] == sum(layer["parameters"] for layer in content["layers"])
    assert content["macs"] + sum(content["macs_not_in_total"].values()) == sum(
        layer["macs"] for layer in content["layers"]
    )
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert len(lines) == 2 + len(content["layers"])
    assert len({len(line) for line in lines}) == 1  # the last column is flush right
    for line, layer in zip(lines[2:], content["layers"], strict=True):
        assert line.startswith(layer["name"])
        assert f"  {layer['parameters']:,}  " in line
        assert "x".join(map(str, layer["output_shape"])) in line


def test_cost_grows_with_the_area(tmp_path: Path) -> None:
    config, file = write_config(tmp_path), tmp_path / "counts.json"
    macs = []
    for shape in ("64x64", "1x6x128x128", "4,6,64,64"):
        words = ["-c", str(config), "--input-shape", shape, "--json", str(file)]
        assert run_command("calops", words) == 0
        macs.append(json.loads(file.read_text())["macs"])
    assert macs[1] == macs[2] == 4 * macs[0]


@pytest.mark.parametrize("text", ["384x512", "1x6x384x512", "1,6,384,512", " 384 512 ", "384X512"])
def test_shapes(text: str) -> None:
    assert parse_shape(text) == (1, 6, 384, 512)


@pytest.mark.parametrize("text", ["384", "axb", "6x384x512", "-1x6x8x8", "3.5x4"])
def test_wrong_shapes(text: str) -> None:
    with pytest.raises(InputError, match="expected height x width"):
        parse_shape(text)


@pytest.mark.parametrize("text", ["1x3x64x64", "1x6x0x64"])
def test_shape_that_is_no_pair_exits_with_2(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("calops", ["-c", str(write_config(tmp_path)), "--input-shape", text]) == 2
    assert f"input shape {text}: expected batch x 6 channels" in capsys.readouterr().err
