"""The compile_perf command on a very small network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.analysis import count_ops
from hat.cli.main import run_command
from hat.cli.sections import build_model, trained_model
from hat.config import Config
from horizon import hbm
from horizon.runtime import Model

SIZE = ["--size", "64", "128"]


def compile_perf(config: Path, folder: Path, *words: str) -> int:
    return run_command("compile_perf", ["-c", str(config), "--out-dir", str(folder), *words])


def board_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 6, height, width), np.uint8)


def expected(config: Path, image: np.ndarray) -> np.ndarray:
    model = trained_model(Config.fromfile(config), "compile_cfg", "int_infer")[0]
    return model.integers((torch.from_numpy(image).float() - 128) / 128).numpy()


@pytest.mark.parametrize("march", ["host", "edge256"])
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_the_program_gives_int_infer_s_integers(
    four_stages: Path, tmp_path: Path, march: str, kind: str
) -> None:
    words = [*SIZE, "--march", march, "--input-type", kind]
    assert compile_perf(four_stages, tmp_path, *words) == 0
    model = Model(tmp_path / "model.hbm")
    assert (model.name, model.march, model.opt) == ("tiny", march, 2)
    image = board_image(64, 128)
    given = image if kind == "uint8" else (image.astype(np.int16) - 128).astype(np.int8)
    assert model.inputs[0].dtype == given.dtype
    found = model.run({"img": given})["flow"]
    assert np.array_equal(found, expected(four_stages, image))
    assert np.ptp(found) > 10  # there is something to differ in


def test_files_and_summary(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_perf(four_stages, tmp_path, *SIZE) == 0
    printed = capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.hbm",
        "model.hbir",
        "tiny.html",
        "tiny.json",
    }
    text = (tmp_path / "model.hbir").read_text()
    assert text.startswith('program "tiny" version')
    assert "input img: int8 (1, 64, 128, 6)" in text
    program = hbm.read(tmp_path / "model.hbm")
    assert f"{len(program.instructions)}: " in printed
    assert "input         img: uint8 NCHW 1x6x64x128, step 0.0078125, zero at 128" in printed
    network = build_model(Config.fromfile(four_stages), "calops_cfg")
    assert f"convolutions ({count_ops(network, (1, 6, 64, 128)).macs:,})" in printed
    counters = Model(tmp_path / "model.hbm").run_counted({"img": board_image(64, 128)})[1]
    loaded, stored = re.search(r"([\d,]+) bytes loaded, ([\d,]+) bytes stored", printed).groups()  # type: ignore[union-attr]
    assert int(loaded.replace(",", "")) == counters.load_bytes
    assert int(stored.replace(",", "")) == counters.store_bytes


def test_counted_traffic_of_a_tiled_program(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_perf(four_stages, tmp_path, "--march", "edge256", "--size", "192", "256") == 0
    printed = capsys.readouterr().out
    counters = Model(tmp_path / "model.hbm").run_counted({"img": board_image(192, 256)})[1]
    assert f"{counters.load_bytes:,} bytes loaded" in printed
    assert f"{counters.store_bytes:,} bytes stored" in printed
    assert counters.load_bytes > 6 * 192 * 256  # weights and tiles besides the images


def test_same_bytes_again_and_other_bytes_at_another_level(
    four_stages: Path, tmp_path: Path
) -> None:
    programs = []
    for name, opt in (("one", "O2"), ("two", "O2"), ("three", "O0")):
        assert compile_perf(four_stages, tmp_path / name, *SIZE, "--opt", opt) == 0
        programs.append((tmp_path / name / "model.hbm").read_bytes())
    assert programs[0] == programs[1] != programs[2]


def test_what_the_config_says(four_stages: Path, tmp_path: Path) -> None:
    out = tmp_path / "there"
    opts = {
        "deploy_size": "(64, 64)",
        "compile_cfg.out_dir": str(out),
        "compile_cfg.hbm": str(out / "other.hbm"),
        "compile_cfg.opt": "O1",
        "compile_cfg.input_source": "['ddr']",
        "compile_cfg.name": "mine",
    }
    words = [word for pair in opts.items() for word in pair]
    assert run_command("compile_perf", ["-c", str(four_stages), "--opts", *words]) == 0
    assert {path.name for path in out.iterdir()} == {
        "other.hbm",
        "model.hbir",
        "mine.html",
        "mine.json",
    }
    model = Model(out / "other.hbm")
    assert (model.name, model.opt, model.inputs[0].dtype) == ("mine", 1, np.int8)
    assert model.inputs[0].shape == (1, 6, 64, 64)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "100", "128"], "100x128.*multiples of 64, such as 128x128"),
        (["--size", "0", "64"], "multiples of 64, such as 64x64"),
        (["--size", "64" + "0" * 18, "64"], "too large: .*expected at most 2\\^40 bytes"),
        (["--march", "no_such_machine"], "no_such_machine"),
        (["--ckpt", "no.pth.tar"], "no.pth.tar: no such checkpoint"),
        (["--opts", "compile_cfg.opt", "O9"], "compile_cfg.opt is 'O9'; expected O0 or O1"),
        (["--opts", "compile_cfg.input_source", "usb"], "'usb'; expected pyramid or ddr"),
        (["--opts", "compile_cfg.march", "5"], "machine '5' is unknown"),
        (["--opts", "compile_cfg.speed", "5"], "compile_cfg.speed: unknown key"),
        (
            ["--opts", "deploy_inputs", "7"],
            r"deploy_inputs: found 7; expected one tensor for each of 1",
        ),
        (["--opts", "deploy_inputs.depth", "7"], "deploy_inputs: found .*depth.*; expected one"),
    ],
)
def test_mistakes_are_told_and_leave_no_files(
    four_stages: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert compile_perf(four_stages, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("key", "value"), [("out_dir", "5"), ("hbm", "None")])
def test_paths_of_the_config_that_are_none(
    four_stages: Path, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    words = ["-c", str(four_stages), *SIZE, "--opts", f"compile_cfg.{key}", value]
    assert run_command("compile_perf", words) == 2
    assert f"compile_cfg.{key} is {value}; expected a path" in capsys.readouterr().err


def test_a_checkpoint_of_another_stage_is_refused(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    qat = four_stages.parent / "ckpt" / "qat-checkpoint-best.pth.tar"
    assert compile_perf(four_stages, tmp_path / "out", "--ckpt", str(qat)) == 2
    assert "of the stage qat; expected one of the stage int_infer" in capsys.readouterr().err
