"""Benchmarks refuse what they cannot measure before they measure anything."""

from __future__ import annotations

import pytest

from benchmarks import board_validation, host_estimate, runtime_speed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "0", "0"], "--size: expected multiples of 64"),
        (["--size", "-64", "64"], "--size: expected multiples of 64"),
        (["--rounds", "0"], "--rounds: expected 1 or more, found 0"),
        (["--threads", "0"], "--threads: expected 1 or more, found 0"),
    ],
)
def test_speed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["runtime_speed", *words])
    with pytest.raises(SystemExit, match="2"):
        runtime_speed.main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["--pairs", "--rounds"])
def test_validation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr("sys.argv", ["board_validation", name, "0"])
    with pytest.raises(SystemExit, match="2"):
        board_validation.main()
    assert "expected --pairs and --rounds of 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds", "0"], "--rounds: expected 1 or more, found 0"),
        (["--march", "nothing"], "machine 'nothing' is unknown"),
        (["--march", "bayes"], "expected the description of a CPU"),
    ],
)
def test_host_estimate(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["host_estimate", *words])
    with pytest.raises(SystemExit, match="2"):
        host_estimate.main()
    assert message in capsys.readouterr().err
