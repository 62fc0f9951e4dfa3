"""The infer command on real files in a temporary folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.cli.infer import parse_model_inputs
from hat.cli.main import run_command
from hat.data.flow_io import read_flo, write_flo, write_kitti_png
from hat.data.image_io import read_image
from hat.errors import InputError
from tests.cli.tiny import write_checkpoint, write_config
from tests.other_processes import WATCHDOG_SECONDS
from tests.shared_data import shared_data


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = write_config(tmp_path)
    write_checkpoint(path)
    return path


def write_image(path: Path, size: tuple[int, int] = (50, 70), seed: int = 0) -> Path:
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return path


def infer(config: Path, inputs: str, folder: Path, *more: str, stage: str | None = "float") -> int:
    words = ["-c", str(config), "--model-inputs", inputs, "--save-path", str(folder)]
    return run_command("infer", [*words, *(["--stage", stage] if stage else []), *more])


def written(folder: Path) -> set[str]:
    """Names of the results in a folder; the list of what was made there is hidden."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_any_size_and_format_with_ground_truth(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_image(tmp_path / "a.png")
    second = write_image(tmp_path / "b.jpg", seed=1)
    truth = tmp_path / "truth.flo"
    write_flo(truth, np.full((50, 70, 2), 3.0, np.float32))
    assert infer(config, f"img1:{first},img2:{second},gt:{truth}", tmp_path / "out") == 0
    flow = read_flo(tmp_path / "out" / "a.flo")
    assert flow.shape == (50, 70, 2)
    assert np.abs(flow).max() > 1e-3
    for kind in ("flow", "error"):  # each with its legend at the right
        height, width, _ = read_image(tmp_path / "out" / f"a_{kind}.png").shape
        assert height >= 50
        assert width > 70
    printed = capsys.readouterr().out
    epe = float(re.search(r"EPE ([\d.]+) px \(zero flow: 4.24 px\)", printed)[1])  # type: ignore[index]
    assert epe == pytest.approx(np.hypot(*(flow - 3.0).transpose(2, 0, 1)).mean(), abs=0.006)
    speed = np.hypot(flow[..., 0], flow[..., 1])
    assert f"mean {speed.mean():.2f} px, largest {speed.max():.2f} px" in printed
    names = written(tmp_path / "out")
    assert names == {"a.flo", "a_flow.png", "a_error.png", "a_figure.png"}
    assert all(str(tmp_path / "out" / name) in printed for name in names)


def test_truth_is_the_networks_flow_then_the_error_is_zero(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (write_image(tmp_path / f"{seed}.png", seed=seed) for seed in (0, 1))
    assert infer(config, f"img1:{first},img2:{second}", tmp_path / "one") == 0
    assert "EPE" not in capsys.readouterr().out
    inputs = f"img1:{first},img2:{second},gt:{tmp_path / 'one' / '0.flo'}"
    assert infer(config, inputs, tmp_path / "two") == 0
    assert "EPE 0.00 px" in capsys.readouterr().out


def test_sparse_kitti_truth(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (write_image(tmp_path / f"{seed}.png", seed=seed) for seed in (0, 1))
    flow, valid = np.full((50, 70, 2), 400.0, np.float32), np.zeros((50, 70), np.uint8)
    flow[5, 5], valid[5, 5] = 6.0, 1
    write_kitti_png(tmp_path / "truth.png", flow, valid)
    inputs = f"img1:{first},img2:{second},gt:{tmp_path / 'truth.png'}"
    assert infer(config, inputs, tmp_path / "out") == 0
    assert "zero flow: 8.49 px" in capsys.readouterr().out


def test_real_photographs(config: Path, tmp_path: Path) -> None:
    first, second = (shared_data("frames", f"img00{number}.jpg") for number in (1, 2))
    assert infer(config, f"img1:{first},img2:{second}", tmp_path / "out") == 0
    assert read_flo(tmp_path / "out" / "img001.flo").shape == (480, 640, 2)


def test_inputs_of_the_config(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "left.png")
    write_image(tmp_path / "right.png", seed=1)
    words = ["-c", str(config), "--stage", "float", "--save-path", "out"]
    assert run_command("infer", words) == 0
    assert (tmp_path / "out" / "left.flo").is_file()


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_mistakes_are_told_and_leave_no_files(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = write_image(tmp_path / "s.png"), write_image(tmp_path / "l.png", (60, 70))
    out = tmp_path / "out"
    assert infer(config, f"img1:{small},img2:{large}", out) == 2
    assert "70x50" in (message := error_of(capsys))
    assert "70x60" in message
    assert infer(config, f"img1:{small},img2:{tmp_path / 'no.png'}", out) == 2
    assert "no.png" in error_of(capsys)
    truth = tmp_path / "t.flo"
    write_flo(truth, np.zeros((8, 8, 2), np.float32))
    assert infer(config, f"img1:{small},img2:{small},gt:{truth}", out) == 2
    assert "true flow of 8x8 pixels for images of 70x50" in error_of(capsys)
    assert infer(config, f"img1:{small},img2:{small}", out, "--ckpt", str(tmp_path / "no")) == 2
    assert "no such checkpoint" in error_of(capsys)
    assert not out.exists()


def test_ground_truth_is_never_overwritten(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, truth = write_image(tmp_path / "a.png"), tmp_path / "a.flo"
    write_flo(truth, np.ones((50, 70, 2), np.float32))
    assert infer(config, f"img1:{image},img2:{image},gt:{truth}", tmp_path) == 2
    assert "would overwrite the input gt" in error_of(capsys)
    assert (read_flo(truth) == 1).all()


def test_flow_that_is_not_finite_is_no_result(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(config, factor=1e38)
    image = write_image(tmp_path / "a.png")
    assert infer(config, f"img1:{image},img2:{image}", tmp_path / "out") == 2
    assert "NaN or infinite" in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_the_integer_model_is_the_default(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = (
        f"img1:{write_image(tmp_path / 'a.png')},img2:{write_image(tmp_path / 'b.png', seed=1)}"
    )
    flows = {}
    for stage in ("default", "int_infer", "qat", "calibration", "float"):
        words = ("--ckpt", checkpoint(four_stages, stage)) if stage != "default" else ()
        assert infer(four_stages, inputs, tmp_path / stage, *words, stage=None) == 0
        assert f"stage {'int_infer' if stage == 'default' else stage} (" in capsys.readouterr().out
        flows[stage] = read_flo(tmp_path / stage / "a.flo")
    assert np.array_equal(flows["default"], flows["int_infer"])
    assert np.array_equal(flows["default"], flows["qat"])
    assert not np.array_equal(flows["qat"], flows["calibration"])
    assert not np.array_equal(flows["calibration"], flows["float"])


def checkpoint(config: Path, stage: str) -> str:
    return str(config.parent / "ckpt" / f"{stage}-checkpoint-best.pth.tar")


@pytest.mark.parametrize(
    ("stage", "file"), [("int_infer", "qat"), ("qat", "calibration"), ("float", "int_infer")]
)
def test_a_file_of_another_stage_is_refused(
    four_stages: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    file: str,
) -> None:
    image = write_image(tmp_path / "a.png")
    inputs, words = f"img1:{image},img2:{image}", ("--ckpt", checkpoint(four_stages, file))
    assert infer(four_stages, inputs, tmp_path / "out", *words, stage=stage) == 2
    assert f"of the stage {file}; expected one of the stage {stage}" in error_of(capsys)


def test_without_an_integer_model_the_command_that_makes_it_is_told(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_image(tmp_path / "a.png")
    assert infer(config, f"img1:{image},img2:{image}", tmp_path / "out", stage=None) == 2
    assert "tools/train.py --stage int_infer" in error_of(capsys)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("img1:a.png,img2:b.png", {"img1": "a.png", "img2": "b.png"}),
        ("img2:b, img1:a ,gt:c.flo", {"img2": "b", "img1": "a", "gt": "c.flo"}),
        (r"img1:C:\x\a,1.png,img2:D:\b:2.png", {"img1": r"C:\x\a,1.png", "img2": r"D:\b:2.png"}),
        ("img1:img1:a,img2:my img2:b", {"img1": "img1:a", "img2": "my img2:b"}),
    ],
)
def test_model_inputs(text: str, expected: dict[str, str]) -> None:
    assert parse_model_inputs(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,b.png", "before a key"),
        ("img3:a.png,img1:b.png", "before a key"),
        ("img1:a.png", "img2 is missing"),
        ("img1:a,img2:b,img1:c", "img1 is given twice"),
        ("img1:,img2:b", "img1 has no path"),
        ("", "img1 is missing"),
    ],
)
def test_wrong_model_inputs(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_model_inputs(text)


def test_files_whose_names_are_not_utf8(config: Path, tmp_path: Path) -> None:
    """Read, written, and named on a strict UTF-8 terminal, byte for byte."""
    first = write_image(tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"\xe9a.png"))
    second = write_image(tmp_path / "b.png", seed=1)
    inputs = f"img1:{first},img2:{second}"
    words = ["tools/infer.py", "-c", str(config), "--stage", "float", "--model-inputs", inputs]
    done = subprocess.run(
        [sys.executable, *words, "--save-path", str(tmp_path / "out")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=True,
        timeout=WATCHDOG_SECONDS,
    )
    assert b"/\xe9a_flow.png" in done.stdout
    assert (tmp_path / "out" / os.fsdecode(b"\xe9a.flo")).exists()
