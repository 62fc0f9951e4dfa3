from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
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


def hat(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """``hat words`` in a process that permissions hold for, also where the tests run as root."""
    start: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may do everything, and there is no setpriv")
        drop = "-dac_override,-dac_read_search"
        start = ["setpriv", "--bounding-set", drop, "--inh-caps", drop]
    command = [*start, sys.executable, "-m", "hat.cli.main", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder that may not be entered, with a file of every kind."""
    folder = tmp_path / "locked"
    folder.mkdir()
    write_config(folder)
    for name in ("a.png", "b.png", "clip.mp4", "a.flo"):
        (folder / name).write_bytes(b"x")
    folder.chmod(0)
    yield folder
    folder.chmod(0o755)


@pytest.mark.parametrize(
    "words",
    [
        ["calops", "-c", "{}/tiny.py"],
        ["config-check", "{}/tiny.py"],
        ["infer", "{}", "-o", "{}-out"],
        ["infer", "{}/*.png", "-o", "{}-out"],
        ["infer", "{}/a.png", "{}/b.png", "-o", "{}-out"],
        ["infer", "{}/clip.mp4", "-o", "{}-out"],
        ["flow-statistics", "--data", "{}"],
        ["flyingchairs-generator", "--num-pairs=1", "--target-data-dir={}-out", "--backgrounds={}"],
    ],
    ids=" ".join,
)
def test_a_folder_that_may_not_be_entered_is_one_line(locked: Path, words: list[str]) -> None:
    done = hat(*(word.format(locked) for word in words))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {locked}")
    assert "Permission denied" in line
    assert not Path(f"{locked}-out").exists()


@pytest.mark.parametrize("name", ["clip.mp4", "float-checkpoint-best.pth.tar"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / name).chmod(0)
    words = ["infer", tmp_path / name, "-o", tmp_path / "out"]
    if name != "clip.mp4":
        config = write_config(tmp_path)
        words = ["export-onnx", "-c", config, "--stage", "float", "--ckpt", tmp_path / name]
    done = hat(*words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / name}: ")
    assert "Permission denied" in line


@pytest.mark.parametrize(
    ("name", "reason"), [("a" * 300, "File name too long"), ("loop", "symbolic links")]
)
@pytest.mark.parametrize("words", [["calops", "-c", "{}"], ["infer", "{}", "-o", "out"]])
def test_names_that_lead_nowhere_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str, words: list[str]
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert main([word.format(tmp_path / name) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / name) in line
    if "no such" not in line:
        assert reason in line


def test_an_error_that_says_nothing_of_a_file_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*_: object) -> int:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr("hat.cli.ls.run", run)
    with pytest.raises(RuntimeError, match="a fault"):
        main(["ls"])


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((64, 64, 3), np.uint8))
    line = f"exec {sys.executable} -m hat.cli.main infer a.png b.png -o out --write flo {closed}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out" / "a.flo").stat().st_size == 12 + 64 * 64 * 8


def test_a_number_that_is_no_camera_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("9" * 23, "9" * 200, "²"):
        assert main(["infer", word, "-o", str(tmp_path / "out")]) == 2
        assert f"error: {word}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["infer", "", "-o", "out"], "argument"),
        (["infer", "a.mp4", "-o", ""], "-o"),
        (["infer", "a.mp4", "--save-path="], "--save-path"),
        (["config-check", ""], "argument"),
        (["flow-statistics", "--data", "here", ""], "--data"),
    ],
)
def test_an_empty_word_is_not_the_current_folder(
    capsys: pytest.CaptureFixture[str], words: list[str], option: str
) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: {option}: found an empty word")


def test_opts_may_set_an_empty_text(tmp_path: Path) -> None:
    assert main(["calops", "-c", str(write_config(tmp_path)), "--opts", "task_name", ""]) == 0
