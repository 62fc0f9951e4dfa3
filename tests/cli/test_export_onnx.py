"""The export_onnx command."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from hat.cli.main import run_command
from hat.export import onnx_check
from tests.cli.tiny import write_checkpoint, write_config


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = list(onnx_check.check_onnx.__defaults__ or ())
    assert defaults == [onnx_check.SHAPES]
    monkeypatch.setattr(onnx_check.check_onnx, "__defaults__", (((2, 64, 96), (1, 70, 65)),))


def test_file_of_the_stage_is_written_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    write_checkpoint(config)
    assert run_command("export_onnx", ["-c", str(config), "--stage", "float"]) == 0
    printed = capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(tmp_path / "float.onnx"))
    assert [i.name for i in session.get_inputs()] == ["img"]
    assert session.get_modelmeta().custom_metadata_map["task"] == "tiny"
    assert str(tmp_path / "float.onnx") in printed
    assert "64x96" in printed
    assert "within the tolerance of 0.001 px" in printed


def test_difference_above_the_tolerance_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = write_config(tmp_path), tmp_path / "deep" / "net.onnx"
    words = ["-c", str(config), "--random-weights", "--output", str(file), "--tolerance", "1e-12"]
    assert run_command("export_onnx", words) == 1
    printed = capsys.readouterr().out
    assert "DIFFERS" in printed
    assert "above the tolerance" in printed
    assert file.is_file()


def test_mistakes_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    assert run_command("export_onnx", ["-c", str(config)]) == 2
    error = capsys.readouterr().err
    assert "no such checkpoint" in error
    assert "tools/train.py --stage float" in error
    words = ["-c", str(config), "--random-weights", "--tolerance", "0"]
    assert run_command("export_onnx", words) == 2
    assert "--tolerance" in capsys.readouterr().err
    assert not (tmp_path / "float.onnx").exists()
