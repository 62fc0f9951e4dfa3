"""The model_profiler command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from hat.cli.main import run_command
from hat.cli.profile_inputs import image_pairs
from hat.config import Config
from hat.data.flow_io import write_flo
from hat.engine.checkpoint import save_checkpoint
from hat.models.tasks.pwcnet_task import PwcnetTask
from hat.registry import build_from_registry
from horizon.quantization import finish_calibration, prepare_calibration
from tests.cli.tiny import write_config

NAMES = ("similarity", "statistics", "weights", "unquantised", "sensitivity")
LAYER = "backbone.levels.0.0.conv"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A config with a checkpoint of every stage, and --model-inputs with true flow."""
    folder = tmp_path_factory.mktemp("profiler")
    path = write_config(folder)
    torch.manual_seed(0)
    model: Any = build_from_registry(Config.fromfile(path).model, "model").eval()
    generator = torch.Generator().manual_seed(0)
    batches = [{"img": torch.rand(1, 6, 64, 128, generator=generator) * 2 - 1} for _ in range(3)]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()  # statistics of these images, or random weights give hardly any flow
    run_all(model, batches)
    save(folder, "float", model)
    model.eval().fuse_model()
    model.set_qconfig()
    prepared = prepare_calibration(model)
    run_all(prepared, batches)
    finish_calibration(prepared)
    for stage in ("calibration", "qat"):
        save(folder, stage, prepared)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        image = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(image, (128, 64)))
    write_flo(folder / "gt.flo", rng.normal(0, 1, (64, 128, 2)).astype(np.float32))
    return path, f"img1:{folder / 'a.png'},img2:{folder / 'b.png'},gt:{folder / 'gt.flo'}"


def run_all(model: nn.Module, batches: list[dict]) -> None:
    with torch.no_grad():
        for batch in batches:
            model(batch)


def save(folder: Path, stage: str, model: nn.Module) -> None:
    content = {"stage": stage, "epoch": 0, "step": 0, "metrics": {}}
    path = folder / f"{stage}-checkpoint-best.pth.tar"
    save_checkpoint(path, {**content, "state_dict": model.state_dict()})


def test_a_float_network_that_is_fused_into_another_is_refused(
    experiment: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    fuse = PwcnetTask.fuse_model

    def wrong(self: Any) -> None:
        fuse(self)
        with torch.no_grad():
            self.backbone.levels[0][0].conv.conv.weight.mul_(2)

    monkeypatch.setattr(PwcnetTask, "fuse_model", wrong)
    words = ["-c", str(experiment[0]), "--model-inputs", experiment[1]]
    assert run_command("model_profiler", [*words, "--out-dir", str(tmp_path)]) == 2
    assert "fusing: the network's output is another than before" in capsys.readouterr().err


@pytest.fixture
def profile(experiment: tuple[Path, str], tmp_path: Path) -> Callable[..., int]:
    def call(*words: str) -> int:
        config, inputs = experiment
        options = ["-c", str(config), "--model-inputs", inputs, "--out-dir", str(tmp_path / "out")]
        return run_command("model_profiler", [*options, *words])

    return call


def test_every_function_gives_files_and_a_section(
    profile: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile("--stages", "float", "calibration") == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "out" / "profile.html").read_text()
    for name in NAMES:
        assert f'<h2 id="{name}">' in page
        assert str(tmp_path / "out" / f"{name}.json") in printed
        json.loads((tmp_path / "out" / f"{name}.json").read_text())
        with open(tmp_path / "out" / f"{name}.csv") as file:
            rows = list(csv.DictReader(file))
        assert (name == "unquantised") == (not rows)
    assert page.count("data:image/svg+xml") == 5
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched
    assert "every layer is quantised" in printed
    similarity = json.loads((tmp_path / "out" / "similarity.json").read_text())
    first = {entry["layer"]: entry for entry in similarity["alone"]}[LAYER]
    assert first["bits"] == 8
    assert first["sqnr_db"] > 10
    sensitivity = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert sensitivity["real"] > 0
    assert LAYER in {entry["layer"] for entry in sensitivity["layers"]}


def test_the_integer_model_equals_the_trained_one(
    profile: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--stages", "int_infer", "qat", "--functions", "similarity"]
    assert profile(*words) == 0
    printed = capsys.readouterr().out
    assert "Similarity of qat and int_infer" in printed  # in the order of the stages
    assert "0 of " in printed
    assert "Alone: all" in printed
    found = json.loads((tmp_path / "out" / "similarity.json").read_text())
    for way in ("cumulative", "alone"):
        counts = {entry["layer"]: entry["differing"] for entry in found[way]}
        assert counts.pop("dequants.0") is None
        assert set(counts.values()) == {0}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "similarity.json",
        "similarity.csv",
        "profile.html",
    }


def test_pairs_are_the_first_of_the_validation_data(tiny_config: Path) -> None:
    config = Config.fromfile(tiny_config)
    pairs = image_pairs(config, None, 3, torch.device("cpu"))
    assert [pair["img_id"] for pair in pairs] == [[0], [1], [2]]
    assert pairs[0]["img"].shape == (1, 6, 96, 128)
    assert -1 <= pairs[0]["img"].min() < pairs[0]["img"].max() <= 1
    assert pairs[0]["gt_flow"].shape == (1, 2, 96, 128)


def test_mistakes_exit_with_2(
    profile: Callable[..., int],
    experiment: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profile("--stages", "qat", "qat") == 2
    assert "expected two different ones" in capsys.readouterr().err
    empty = str(tmp_path / "empty")
    assert profile("--stages", "float", "qat", "--opts", "ckpt_dir", empty) == 2
    error = capsys.readouterr().err
    assert "no such checkpoint" in error
    assert "tools/train.py --stage float" in error
    words = ["-c", str(experiment[0]), "--num-pairs", "0"]
    assert run_command("model_profiler", words) == 2
    assert "--num-pairs 0" in capsys.readouterr().err
    words = ["-c", str(experiment[0]), "--stages", "float", "calibration"]
    assert run_command("model_profiler", words) == 2
    assert "no section 'val_batch_processor'" in capsys.readouterr().err
