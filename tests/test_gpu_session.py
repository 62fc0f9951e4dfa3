"""The session for a machine with a GPU, on the CPU with a very small network."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_session, gpu_tests, step_choices
from benchmarks.machine_use import MachineUse
from benchmarks.step_choices import Choice, Measured
from hat.cli.main import run_command
from hat.engine import run_length
from hat.engine.checkpoint import load_checkpoint
from tests.conftest import ROOT

CONFIGS = ROOT / "configs/opticalflow_pred/pwcnet"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.py"
    sizes = 'dict(motions={"small": 1.0}, size=(64, 64))'
    path.write_text(
        f'_base_ = "{CONFIGS / "pwcnet_lite_by_time.py"}"\n'
        f'textures = dict(type="TextureBank", path="{tmp_path / "textures.npy"}", count=3)\n'
        "out_channels = [4, 4, 4, 4, 4, 4, 4]\n"
        "match_channels = 4\n"
        "predictor_channels = [8, 8, 8, 8, 4]\n"
        "train_size = (64, 64)\n"
        'stages = [dict(until=0.3, motions={"spread": 1.0}, size=(32, 64)),\n'
        f"    {sizes}]\n"
        f"val_data_loader = dict(dataset=dict(length=2, stages=[{sizes}]))\n"
        f"calibration_data_loader = dict(dataset=dict(length=2, stages=[{sizes}]), batch_size=2)\n"
        "calibration_steps = 1\n"
        "log_freq = 2\n"
    )
    return path


@pytest.fixture
def _clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's clock stands still, and that of a run ticks a second a step."""
    ticks: Iterator[int] = itertools.count()
    monkeypatch.setattr(gpu_session, "monotonic", lambda: 0.0)
    monkeypatch.setattr(run_length, "monotonic", lambda: float(next(ticks)))


def session(config: Path, out: Path, *words: str) -> int:
    given = ["--config", str(config), "--out", str(out), *words]
    # no worker processes: a test has no time to start them
    return gpu_session.main([*given, "--opts", "data_num_workers", "0", "log_freq", "3"])


@pytest.mark.usefixtures("_clocks")
def test_a_session_a_second_one_and_the_next_stage(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert session(config, out, "--minutes", "0.3") == 0
    first = json.loads((out / "session.json").read_text())
    assert first["machine"]["cores"] >= 1
    assert any(row["pairs_per_second"] == first["chosen"]["pairs/s"] for row in first["choices"])
    assert first["chosen"]["batch_size"] == 8
    assert first["data"]["seconds to draw a pair"] > 0
    training = first["training"]
    assert training["exit code"] == 0
    assert 5 <= training["steps"] <= 14  # seconds: 18, less 5, less the last validation's
    (judged,) = training["EPE"]
    assert judged["step"] == training["steps"]
    assert training["pairs/s"] > 0
    assert {Path(path).name for path in training["checkpoints"]} == {
        "float-checkpoint-last.pth.tar",
        "float-checkpoint-best.pth.tar",
    }
    log = (out / "float-log.txt").read_text()
    assert "minutes, " in log

    assert session(config, out, "--minutes", "0.3") == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert session(config, out, "--minutes", "0.3", "--resume") == 0
    second = json.loads((out / "session.json").read_text())["training"]
    assert second["steps"] >= training["steps"] + 5
    assert second["minutes"] > training["minutes"]
    assert load_checkpoint(out / "float-checkpoint-last.pth.tar")["step"] == second["steps"]

    words = ["--stage", "calibration", "--config", str(config), "--opts", "ckpt_dir", str(out)]
    assert run_command("train", words) == 0
    assert (out / "calibration-checkpoint-best.pth.tar").is_file()


def test_what_is_refused(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        "expected more than 0": ["--minutes", "0"],
        "leave out --resume": ["--resume"],
    }
    for message, words in cases.items():
        assert session(config, tmp_path / "new", *words) == 2
        assert message in capsys.readouterr().err
    assert session(config, tmp_path) == 2
    assert "not empty" in capsys.readouterr().err
    assert session(tmp_path / "missing.py", tmp_path / "new") == 2
    assert "give --config" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_smallest_batch_that_is_nearly_as_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {8: 100.0, 16: 190.0, 32: 300.0, 64: 350.0, 128: None}

    def measure(
        config: str, opts: Any, choice: Choice, sample: Any, steps: int, limit: float
    ) -> Measured:
        rate = rates[choice.batch_size]
        factor = 1.5 if choice.channels_last else 1.0
        return Measured(choice, rate and rate * factor, failed="" if rate else "out of memory")

    monkeypatch.setattr(step_choices, "measure", measure)
    choice, found = step_choices.choose("", {}, {}, list(rates), steps=1, limit=1e9)
    assert choice.channels_last
    assert choice.batch_size == 32
    assert found[-1].failed == "out of memory"
    monkeypatch.setitem(rates, 8, None)
    with pytest.raises(MemoryError, match="out of memory"):
        step_choices.choose("", {}, {}, [8], steps=1, limit=1e9)


def test_a_process_of_its_own_measures_too(config: Path) -> None:
    opts = {"data_num_workers": 0}
    found = step_choices.measure_apart(str(config), opts, Choice(), steps=1, timeout=300)
    assert found.failed == ""
    assert (found.pairs_per_second or 0) > 0
    late = step_choices.measure_apart(str(config), opts, Choice(), steps=1, timeout=0.01)
    assert "not done after" in late.failed
    wrong = step_choices.measure_apart(str(config), {"no_such": 1}, Choice(), 1, timeout=300)
    assert "no_such" in wrong.failed


def test_what_became_of_tests(tmp_path: Path) -> None:
    file = tmp_path / "test_some.py"
    file.write_text(
        "import pytest\n"
        "@pytest.mark.gpu\ndef test_good(): pass\n"
        "@pytest.mark.gpu\ndef test_bad(): assert 1 == 2\n"
        "@pytest.mark.gpu\ndef test_left_out(): pytest.skip('no')\n"
        "def test_other(): assert False\n"
    )
    found = gpu_tests.run_tests(300, [str(file)])
    assert not found["passed"]
    assert (found["passed tests"], found["skipped tests"]) == (1, 1)
    ((name, message),) = found["failed"].items()
    assert name.endswith("test_bad")
    assert "1 == 2" in message
    assert "not done" in gpu_tests.run_tests(0.01, [str(file)])["error"]
    file.write_text("def broken(:\n")
    assert not gpu_tests.run_tests(300, [str(file)])["passed"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_no_step_is_timed() -> None:
    assert gpu_tests.training_step(1.0) == {"skipped": "no GPU"}


def test_how_busy_a_machine_is() -> None:
    with MachineUse() as use:
        sum(range(2_000_000))
    found = use.summary()
    assert found["cpu"] is None or 0 <= found["cpu"] <= 1
    assert set(found) == {"cpu", "gpu", "gpu GiB"}
