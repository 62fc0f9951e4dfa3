"""Values of the wrong kind are told by their key when a config is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hat.cli.main import main
from hat.config import Config
from hat.errors import InputError
from hat.shipped import shipped_configs
from tests.cli.tiny import write_config


@pytest.mark.parametrize(
    ("command", "key", "value", "expected"),
    [
        ("calops", "model", 5, "a dict, or an object"),
        ("calops", "calops_cfg.model", "{}", "a dict with a type, or an object"),
        ("train --stage float", "ckpt_dir", 5, "the path of a folder"),
        ("train --stage float", "ckpt_dir", "''", "the path of a folder"),
        ("predict --stage float", "float_predictor", 5, "a dict with a type"),
        ("predict --stage float", "float_predictor", "{}", "a dict with a type"),
        ("align-bpu-validation", "align_bpu_predictor", 5, "a dict with a type"),
        ("export-onnx --stage float", "onnx_cfg.out_dir", 5, "the path of a folder"),
        ("export-onnx --stage float", "onnx_cfg.opset_version", "'new'", "a whole number"),
        ("export-onnx --stage float", "val_data_loader", "[]", "a dict"),
    ],
)
def test_wrong_kinds_are_told_by_every_command(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    key: str,
    value: object,
    expected: str,
) -> None:
    config = write_config(tmp_path)
    section, _, entry = key.partition(".")
    line = f"{section} = dict({section}, {entry}={value})" if entry else f"{key} = {value}"
    with open(config, "a") as file:
        file.write(f"\n{line}\n")
    for words in (command.split(), ["config-check"]):
        assert main([*words, "-c", str(config)]) == 2
        error = capsys.readouterr().err
        assert re.search(
            rf"error: {re.escape(str(config))}: {key}: found .*, expected {expected}", error
        )


def test_a_section_that_is_none_is_told_where_it_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text() + "float_predictor = None\n")
    assert Config.fromfile(config)["float_predictor"] is None
    assert main(["predict", "--stage", "float", "-c", str(config)]) == 2
    assert "float_predictor is None, and this needs it" in capsys.readouterr().err


def test_shipped_configs_are_of_the_right_kinds() -> None:
    for path in shipped_configs().values():
        Config.fromfile(path)


def test_a_config_that_ends_python_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nraise SystemExit(0)\n")
    with pytest.raises(InputError, match=r"a\.py:2: SystemExit: 0"):
        Config.fromfile(tmp_path / "a.py")


def test_a_misspelt_section_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text() + "float_trainr = dict()\n")
    main(["config-check", str(config)])
    assert "needs it; is float_trainr meant to be it?" in capsys.readouterr().out
