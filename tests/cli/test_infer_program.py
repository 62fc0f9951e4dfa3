"""The infer command with a compiled program (--model)."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hat.cli.main import run_command
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.flow_io import read_flo
from hat.data.image_io import read_image
from hat.data.transforms import rgb_to_yuv444_uint8
from hat.metrics import full_resolution
from horizon import hbm
from tests.cli.test_infer import error_of, infer, write_image, written
from tests.horizon.hbm.programs import short_program


def compiled(config: Path, folder: Path) -> Path:
    """The config's program for images of 128x192."""
    words = ["-c", str(config), "--out-dir", str(folder), "--size", "128", "192"]
    assert run_command("compile_perf", words) == 0
    return folder / "model.hbm"


def board_flow(config: Path, first: Path, second: Path, size: tuple[int, int]) -> np.ndarray:
    """Flow (h, w, 2) by the integer model on the board's input, padded to 128x192."""
    images = [
        cv2.resize(read_image(p), size[::-1], interpolation=cv2.INTER_AREA) for p in (first, second)
    ]
    yuv = np.concatenate([rgb_to_yuv444_uint8(image) for image in images], axis=2)
    padded = np.pad(yuv, ((0, 128 - size[0]), (0, 192 - size[1]), (0, 0)), mode="edge")
    model = trained_model(Config.fromfile(config), "infer_cfg", "int_infer")[0]
    flow = model((torch.from_numpy(padded.transpose(2, 0, 1)[None]).float() - 128) / 128)
    rows, columns = (-(-side // 4) for side in size)
    return full_resolution(flow[..., :rows, :columns], size)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(50, 70), (128, 192)])
def test_a_compiled_program(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: tuple[int, int]
) -> None:
    program = compiled(four_stages, tmp_path)
    first, second = (write_image(tmp_path / f"{i}.png", size, seed=i) for i in (0, 1))
    words = ("--model", str(program))
    capsys.readouterr()
    inputs = f"img1:{first},img2:{second}"
    assert infer(four_stages, inputs, tmp_path / "out", *words, stage=None) == 0
    printed = capsys.readouterr().out
    assert f"by {program}, a program of 192x128 pixels" in printed
    assert ("border repeated" in printed) == (size != (128, 192))
    flow = read_flo(tmp_path / "out" / "0.flo")
    expected = board_flow(four_stages, first, second, size)
    np.testing.assert_allclose(flow, expected, atol=1e-4)
    assert np.ptp(flow) > 0.01
    assert written(tmp_path / "out") == {"0.flo", "0_flow.png", "0_figure.png"}


def test_a_compiled_program_and_larger_images(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scaled down to fit, both sides alike; the flow is scaled up in size and in values."""
    program = compiled(four_stages, tmp_path)
    first, second = (write_image(tmp_path / f"{i}.png", (256, 300), seed=i) for i in (0, 1))
    words = ("--model", str(program))
    inputs = f"img1:{first},img2:{second}"
    assert infer(four_stages, inputs, tmp_path / "out", *words, stage=None) == 0
    assert "images scaled down to 150x128; border repeated" in capsys.readouterr().out
    small = board_flow(four_stages, first, second, (128, 150))
    expected = 2 * cv2.resize(small, (300, 256), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(read_flo(tmp_path / "out" / "0.flo"), expected, atol=1e-4)


def test_mistakes_with_a_compiled_program(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_image(tmp_path / "a.png")
    inputs, out = f"img1:{image},img2:{image}", tmp_path / "out"

    def error(file: Path, stage: str | None = None) -> str:
        assert infer(four_stages, inputs, out, "--model", str(file), stage=stage) == 2
        return error_of(capsys)

    assert "and there is no such file" in error(tmp_path / "no.hbm")
    assert "expected a compiled program (.hbm" in error(image)
    assert "does not begin with HBMFLOW" in error(Path(shutil.copy(image, tmp_path / "a.hbm")))
    hbm.write(short_program(), tmp_path / "other.hbm")
    assert "not the program of an optical flow network" in error(tmp_path / "other.hbm")
    assert "--stage with --model" in error(tmp_path / "other.hbm", stage="qat")
    assert infer(four_stages, inputs, out, "--model", "a", "--ckpt", "b", stage=None) == 2
    assert "--ckpt with --model" in error_of(capsys)
    assert not out.exists() or list(out.iterdir()) == []
