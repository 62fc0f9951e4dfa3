"""The fit_host command."""

from __future__ import annotations

from pathlib import Path

import pytest

from hat.cli import fit_host
from hat.cli.main import run_command
from horizon.march import load


def test_a_short_measurement_gives_a_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_host, "POOR", 0.0)
    out = tmp_path / "my_cpu.toml"
    words = ["--out", str(out), "--seconds", "0.1", "--chains", "20", "--threads", "1"]
    assert run_command("fit_host", [*words, "--clock-ghz", "2.5"]) == 0
    printed = capsys.readouterr().out
    assert "convolution, int8" in printed
    assert "warning: half of the instructions are more than 0% off" in printed
    machine = load(out)
    assert (machine.name, machine.workers, machine.clock_hz) == ("my_cpu", 1, 2.5e9)
    assert machine.sequential
    assert machine.constants_in_place
    assert machine.sources["tensor.conv.step_cycles"].provenance == "fitted"
    assert machine.sources["memory.alignment"].provenance == "published"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "cpu.txt"], "ends in .toml"),
        (["--out", "no/such/folder/cpu.toml"], "make it first"),
        (["--out", "cpu.toml", "--threads", "0"], "--threads 0: expected"),
        (["--out", "cpu.toml", "--threads", "-1"], "--threads -1: expected"),
        (["--out", "cpu.toml", "--chains", "0"], "--chains 0: expected"),
        (["--out", "cpu.toml", "--seconds", "0"], "--seconds 0: expected"),
        (["--out", "cpu.toml", "--seconds", "nan"], "--seconds nan: expected"),
        (["--out", "cpu.toml", "--clock-ghz", "-1"], "--clock-ghz -1: expected"),
    ],
)
def test_wrong_words_are_told_before_anything_is_measured(
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit_host, "measure", None)
    assert run_command("fit_host", words) == 2
    assert message in capsys.readouterr().err


def test_too_few_chains_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cpu.toml"
    words = ["--out", str(out), "--chains", "2", "--seconds", "0.01", "--threads", "1"]
    assert run_command("fit_host", words) == 2
    assert "measure more probes" in capsys.readouterr().err
    assert not out.exists()
