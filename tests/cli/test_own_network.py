"""Configs of networks that are no flow networks: all stages and all commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hat.cli import compile_network
from hat.cli.main import run_command
from hat.config import Config
from hat.deploy.random_program import random_program
from hat.deploy.structure import first_difference
from hat.errors import InputError

STAGES = ("float", "calibration", "qat", "int_infer")
DIGITS = """
_base_ = "digits"
task_name = "small"
ckpt_dir = {folder!r}
batch_size = 20
num_epochs = 10
data_loader = dict(dataset=dict(count=1000))
val_data_loader = dict(dataset=dict(count=300))
"""
TWO = """
from torch import nn
from torchmetrics.classification import MulticlassAccuracy
from tests.cli.own_networks import Scenes, TwoByTwo

_base_ = "own_network"
task_name = "two"
ckpt_dir = {folder!r}
model = dict(type=TwoByTwo)
deploy_inputs = dict(image=(1, 3, 16, 24), depth=(1, 1, 16, 24))
targets = ["mask", "label"]


class Scores(MulticlassAccuracy):
    def update(self, outputs, mask, label):
        super().update(outputs["scores"], label)


def loss(outputs, mask, label):
    return {{
        "mask": nn.functional.cross_entropy(outputs["mask"], mask),
        "label": nn.functional.nll_loss(outputs["scores"].clamp(min=1e-6).log(), label),
    }}


def pixels(outputs, mask, label):
    return (outputs["mask"].argmax(1) == mask).float().mean((1, 2))


metrics = dict(pixels=pixels, label=dict(type=Scores, num_classes=5, average="micro"))
best_metric = "pixels"
best_mode = "max"
num_epochs = 4
lr = 1e-2
batch_size = 20
calibration_steps = 3
data_loader = dict(dataset=dict(type=Scenes, count=100))
val_data_loader = dict(dataset=dict(type=Scenes, count=30))
"""


def hat(command: str, config: Path, *words: str) -> int:
    return run_command(command, ["--config", str(config), *words])


def write(folder: Path, text: str, **more: Any) -> Path:
    path = folder / "config.py"
    path.write_text(text.format(folder=str(folder / "ckpt"), **more))
    return path


def trained(folder: Path, text: str) -> Path:
    path = write(folder, text)
    for stage in STAGES:
        assert hat("train", path, "--stage", stage) == 0
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("digits"), DIGITS)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("two"), TWO)


def metrics_of(config: Path, stage: str) -> dict[str, float]:
    assert hat("predict", config, "--stage", stage) == 0
    content = json.loads((config.parent / f"ckpt/{stage}-metrics.json").read_text())
    found: dict[str, float] = content["data_sets"][0]["metrics"]
    return found


def test_a_classifier_through_all_stages(digits: Path) -> None:
    found = {stage: metrics_of(digits, stage) for stage in STAGES}
    assert found["float"]["accuracy"] > 0.85
    assert found["int_infer"]["accuracy"] > found["float"]["accuracy"] - 0.03
    assert found["int_infer"] == found["qat"]


@pytest.mark.parametrize("march", ["host", "nash-e"])
@pytest.mark.parametrize("name", ["digits", "two"])
def test_no_integer_of_the_program_differs(
    name: str, march: str, request: pytest.FixtureRequest
) -> None:
    config = request.getfixturevalue(name)
    assert hat("align_bpu_validation", config, "--march", march) == 0
    content = json.loads((config.parent / "ckpt/align_bpu-metrics.json").read_text())
    (result,) = content["data_sets"]
    assert result["differing"] == 0
    assert result["values"] == {"digits": 300 * 10, "two": 30 * (2 * 16 * 24 + 5)}[name]
    assert result["metrics"]["board program"] == metrics_of(config, "int_infer")


def test_two_outputs_and_metrics_of_both_kinds(two: Path) -> None:
    found = {stage: metrics_of(two, stage) for stage in STAGES}
    for values in found.values():
        assert set(values) == {"loss", "pixels", "label"}
    assert found["float"]["pixels"] > 0.9
    assert found["int_infer"] == found["qat"]


@pytest.mark.parametrize("name", ["digits", "two"])
def test_onnx_of_every_stage(name: str, request: pytest.FixtureRequest) -> None:
    config = request.getfixturevalue(name)
    for stage in STAGES:
        assert hat("export_onnx", config, "--stage", stage, "--num-pairs", "2") == 0
        assert (config.parent / f"ckpt/{stage}.onnx").exists()


def test_names_of_the_program(two: Path) -> None:
    graph = random_program(Config.fromfile(two)).graph
    assert graph.inputs == ("image", "depth")
    assert set(graph.outputs) == {"mask", "scores"}


def test_the_profiler_sees_every_layer(two: Path) -> None:
    for stages in (("float", "qat"), ("qat", "int_infer")):
        assert hat("model_profiler", two, "--stages", *stages, "--num-pairs", "2") == 0
    layers = json.loads((two.parent / "ckpt/profile-float-qat/similarity.json").read_text())
    names = {row["layer"] for row in layers["cumulative"]}
    assert {"network.colour", "network.block.0", "network.block.3", "network.mask"} <= names


def test_a_trained_network_is_compiled(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hat("compile_perf", two) == 0
    printed = capsys.readouterr().out
    assert "int_infer-checkpoint-best" in printed
    assert "RANDOM" not in printed


def test_a_trained_network_needs_no_random_weights(
    two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Config) -> NoReturn:
        raise InputError("the network's output is another than before")

    monkeypatch.setattr(compile_network, "random_program", fails)
    assert hat("compile_perf", two) == 0
    printed = capsys.readouterr().out
    assert "int_infer-checkpoint-best" in printed
    assert "RANDOM" not in printed
    assert "could not be checked: the network's output is another than before" in printed


UNTRAINED = """
from tests.cli.own_networks import TwoByTwo
import torchvision

_base_ = "own_network"
ckpt_dir = {folder!r}
model = dict(type={model})
deploy_inputs = dict({inputs})
"""
NETWORKS = {
    "TwoByTwo": "image=(1, 3, 16, 24), depth=(1, 1, 16, 24)",
    "torchvision.models.resnet18": "image=(1, 3, 64, 64)",
}


@pytest.mark.parametrize("model", NETWORKS)
def test_commands_without_training(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, UNTRAINED, model=model, inputs=NETWORKS[model])
    assert hat("config_check", config) == 0
    assert hat("calops", config, "--json", str(tmp_path / "counts.json")) == 0
    assert hat("export_onnx", config, "--random-weights") == 0
    assert hat("model_checker", config, "--march", "host", "nash-e") == 0
    assert hat("compile_perf", config, "--march", "host", "nash-e") == 0
    assert "0 errors" in capsys.readouterr().out
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["layers"][-1]["macs"] > 0  # a linear layer
    assert (tmp_path / "ckpt/compile/nash-e/model.hbm").exists()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_deep_network_with_gates_is_checked(seed: int, tmp_path: Path) -> None:
    model = "torchvision.models.segmentation.lraspp_mobilenet_v3_large, weights_backbone=None"
    config = write(tmp_path, UNTRAINED, model=model, inputs="image=(1, 3, 64, 64)")
    config.write_text(config.read_text() + f"seed = {seed}\n")
    assert hat("model_checker", config, "--march", "host") == 0


def test_weights_make_no_other_network(tmp_path: Path) -> None:
    config = write(tmp_path, UNTRAINED, model="TwoByTwo", inputs=NETWORKS["TwoByTwo"])
    one, other = (random_program(Config.fromfile(config, {"seed": seed})) for seed in (0, 1))
    assert first_difference(one.graph, other.graph) is None


def test_another_size_of_a_linear_layer(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("compile_perf", "model_checker"):
        assert hat(command, digits, "--size", "48", "48") == 2
        assert "takes 24x24 only" in capsys.readouterr().err
    assert hat("export_onnx", digits, "--stage", "int_infer", "--size", "48", "48") == 2


def test_a_pipeline_test_of_everything(digits: Path, tmp_path: Path) -> None:
    config = write(tmp_path, DIGITS)
    assert hat("train", config, "--stage", "int_infer", "--pipeline-test") == 0
    assert (tmp_path / "ckpt/pipeline_test/int_infer-checkpoint-best.pth.tar").exists()
