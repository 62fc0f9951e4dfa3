from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hat.cli.main import COMMANDS, main
from tests.cli.tiny import write_config
from tests.conftest import ROOT


def test_without_a_command_it_lists_them(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name.replace("_", "-") in text for name in COMMANDS)


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["trian"]) == 2
    assert "'train'" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name.replace("_", "-"), "--help"])
    assert end.value.code == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    "script", ["tools/calops.py", "tools/train.py", "tools/datasets/flyingchairs_packer.py"]
)
def test_scripts_run_from_any_folder(script, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_the_version(word, capsys):
    assert main([word]) == 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"hat {project['version']}\n"


def test_a_full_disk_behind_standard_output_is_one_line(tmp_path: Path) -> None:
    """/dev/full refuses every byte as a full disk does."""
    words = [sys.executable, "-m", "hat.cli.main", "calops", "-c", str(write_config(tmp_path))]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "error: standard output: No space left on device; free some space and try again\n"
    )
