"""The tutorial's four stages on a very small network, as a user runs them."""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch

import horizon.quantization
from hat.cli import train as command
from hat.cli.main import run_command
from hat.cli.predict import show
from hat.cli.sections import trained_model
from hat.config import Config
from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.engine.checkpoint import load_checkpoint
from hat.engine.data_loading import build_eval_loader
from hat.registry import build_from_registry, resolve
from hat.run_log import read_log
from hat.stages import STAGES
from tests.conftest import ROOT


def train(config: Path, stage: str, *words: str) -> int:
    return run_command("train", ["--stage", stage, "--config", str(config), *words])


def predict(config: Path, stage: str, file: Path, *words: str) -> dict[str, float]:
    options = ["--stage", stage, "--config", str(config), "--json", str(file), *words]
    assert run_command("predict", options) == 0
    return json.loads(file.read_text())["data_sets"][0]["metrics"]


def checkpoint(config: Path, stage: str, which: str = "best") -> Path:
    return config.parent / "ckpt" / f"{stage}-checkpoint-{which}.pth.tar"


def copy_stages(source: Path, config: Path, *stages: str) -> None:
    """The best checkpoints of ``stages`` from ``source``'s folder to that of ``config``."""
    checkpoint(config, "float").parent.mkdir(exist_ok=True)
    for stage in stages:
        shutil.copy(checkpoint(source, stage), checkpoint(config, stage))


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_leaves_its_files(four_stages: Path, stage: str) -> None:
    for which in ("best", "last"):
        content = load_checkpoint(checkpoint(four_stages, stage, which))
        assert content["stage"] == stage
        assert content["metrics"]["EPE"] > 0
        assert (content["state_dict"] == {}) == (stage == "int_infer")
        assert ("program" in content) == (stage == "int_infer")
        assert ("resume" in content) == (which == "last" and stage in ("float", "qat"))
    folder = four_stages.parent / "ckpt"
    assert "val/EPE" in (folder / f"{stage}-log.jsonl").read_text()


def test_the_conversion_says_what_it_made(four_stages: Path) -> None:
    text = (four_stages.parent / "ckpt" / "int_infer-log.txt").read_text()
    assert re.search(r"program tiny: [\d,]+ int8 weights", text)
    assert re.search(r"input img: int8, step 0\.0078125, 6 channels", text)
    assert re.search(r"output flow: int32, step .*, 2 channels", text)
    assert re.search(r"\d+ conv2d, .*\d+ correlation.*\d+ warp", text)


def test_metrics_of_every_stage(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {}
    for stage, title in zip(STAGES, ("Float", "Calibration", "QAT", "Quantized"), strict=True):
        results[stage] = predict(four_stages, stage, tmp_path / f"{stage}.json")
        assert f"tiny, {title}: " in capsys.readouterr().out
        best = load_checkpoint(checkpoint(four_stages, stage))["metrics"]["EPE"]
        assert results[stage]["EPE"] == pytest.approx(best, rel=1e-5)
    assert results["int_infer"] == results["qat"]
    assert results["calibration"]["EPE"] == pytest.approx(results["float"]["EPE"], rel=0.5)


def test_what_was_trained_is_what_runs(four_stages: Path) -> None:
    config = Config.fromfile(four_stages)
    qat = trained_model(config, "infer_cfg", "qat")[0]
    integer = trained_model(config, "infer_cfg", "int_infer")[0]
    calibrated = trained_model(config, "infer_cfg", "calibration")[0]
    loader = build_eval_loader(resolve(config.val_data_loader, "val_data_loader"))
    processor = build_from_registry(config.val_batch_processor)
    pairs = 0
    for batch in loader:
        batch = processor.prepare(batch, torch.device("cpu"))
        (expected,) = horizon.quantization.output_integers(qat, batch)
        assert torch.equal(integer.integers(batch), expected)
        assert torch.equal(integer(batch), qat(batch))
        assert not torch.equal(integer(batch), calibrated(batch))
        assert len(torch.unique(expected)) > 10
        pairs += len(expected)
    assert pairs == 4


def test_an_integer_model_needs_no_network(four_stages: Path, tmp_path: Path) -> None:
    words = ["--opts", "out_channels", "[5, 5, 5, 5, 5, 5]"]
    metrics = predict(four_stages, "int_infer", tmp_path / "m.json", *words)
    assert metrics == predict(four_stages, "int_infer", tmp_path / "n.json")


@pytest.mark.parametrize(
    ("stage", "before"), [("calibration", "float"), ("qat", "calibration"), ("int_infer", "qat")]
)
def test_a_missing_stage_before_is_told_with_its_command(
    tiny_config: Path, capsys: pytest.CaptureFixture[str], stage: str, before: str
) -> None:
    assert train(tiny_config, stage) == 2
    error = capsys.readouterr().err
    assert f"{before}-checkpoint-best.pth.tar: no such checkpoint" in error
    assert f"tools/train.py --stage {before} " in error
    words = ["--stage", stage, "--config", str(tiny_config)]
    assert run_command("predict", words) == 2
    assert f"tools/train.py --stage {stage} " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage", "words", "message"),
    [
        ("qat", ["--ckpt", "float"], "stage float; expected one of the stage calibration or qat"),
        ("calibration", ["--ckpt", "qat"], "of the stage qat; expected one of the stage float"),
        ("int_infer", ["--ckpt", "int_infer"], "of the stage int_infer; expected one of"),
        ("qat", ["--opts", "qat_mode", "none"], "qat_mode must be 'fuse_bn' or 'with_bn'"),
    ],
)
def test_mistakes_between_stages(
    four_stages: Path,
    tiny_config: Path,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    words: list[str],
    message: str,
) -> None:
    if words[0] == "--ckpt":
        words = ["--ckpt", str(checkpoint(four_stages, words[1]))]
    assert train(tiny_config, stage, *words) == 2
    assert message in capsys.readouterr().err


def test_metrics_are_not_shown_under_another_stage_s_name(
    four_stages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--ckpt", str(checkpoint(four_stages, "calibration"))]
    assert run_command("predict", ["--stage", "qat", "--config", str(four_stages), *words]) == 2
    assert "of the stage calibration; expected one of the stage qat" in capsys.readouterr().err


def test_shipped_checkpoints_stand_in_for_every_stage(
    four_stages: Path, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = four_stages.parent / "ckpt"
    words = ["--opts", "shipped_ckpt_dir", str(shipped)]
    assert train(tiny_config, "calibration", *words) == 0
    assert "using the shipped" in capsys.readouterr().out
    assert predict(tiny_config, "int_infer", tmp_path / "m.json", *words)
    assert f"using the shipped {checkpoint(four_stages, 'int_infer')}" in capsys.readouterr().out


class StopAt(Callback):
    """Ends the run in the middle, as a kill would: nothing after this line runs."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: object) -> None:
        if trainer.step == self.step:  # type: ignore[attr-defined]
            raise KeyboardInterrupt


def test_resumed_training_with_quantisation_ends_with_the_same_bits(
    four_stages: Path, tiny_config: Path
) -> None:
    copy_stages(four_stages, tiny_config, "calibration")
    config = Config.fromfile(tiny_config)
    torch.manual_seed(5)
    trainer = build_from_registry({**config.qat_trainer, "device": "cpu"}, "qat_trainer")
    trainer.callbacks.append(StopAt(2))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert load_checkpoint(checkpoint(tiny_config, "qat", "last"))["step"] == 2
    assert train(tiny_config, "qat", "--resume") == 0
    whole = load_checkpoint(checkpoint(four_stages, "qat", "last"))
    resumed = load_checkpoint(checkpoint(tiny_config, "qat", "last"))
    assert resumed["step"] == whole["step"] == 4
    assert same(whole["state_dict"], resumed["state_dict"])
    assert same(whole["resume"]["model"], resumed["resume"]["model"])
    assert resumed["metrics"] == whole["metrics"]


def test_calibration_and_conversion_run_again_to_the_same_bits(
    four_stages: Path, tiny_config: Path
) -> None:
    copy_stages(four_stages, tiny_config, "float", "qat")
    for stage in ("calibration", "int_infer"):
        assert train(tiny_config, stage, "--resume") == 0
    own, other = (load_checkpoint(checkpoint(c, "calibration")) for c in (tiny_config, four_stages))
    assert same(own["state_dict"], other["state_dict"])
    assert own["metrics"] == other["metrics"]
    metrics = [
        load_checkpoint(checkpoint(c, "int_infer"))["metrics"] for c in (tiny_config, four_stages)
    ]
    assert metrics[0] == metrics[1]


def calibrate_and_train(device: torch.device, config: str) -> int:
    """The worker of two processes, each with half of the batch."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    opts = ["--opts", "batch_size_per_gpu", "2", "qat_trainer.sync_bn", "True"]
    codes = [
        command.train(device, parser.parse_args(["--stage", stage, "--config", config, *opts]))
        for stage in ("calibration", "qat")
    ]
    return max(codes)


def test_two_processes_calibrate_and_train_like_one(
    four_stages: Path, tiny_config: Path, tmp_path: Path
) -> None:
    copy_stages(four_stages, tiny_config, "float")
    assert distributed.run_distributed(calibrate_and_train, str(tiny_config), "0,1") == 0
    own, other = (load_checkpoint(checkpoint(c, "calibration")) for c in (tiny_config, four_stages))
    for name, value in other["state_dict"].items():
        torch.testing.assert_close(own["state_dict"][name], value, msg=name)
    losses = [
        [
            line["train/loss"]
            for line in read_log(c.parent / "ckpt/qat-log.jsonl")
            if "train/loss" in line
        ]
        for c in (tiny_config, four_stages)
    ]
    assert len(losses[1]) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    # both processes have validated what one of them has saved
    metrics = predict(tiny_config, "qat", tmp_path / "m.json")
    content = load_checkpoint(checkpoint(tiny_config, "qat"))
    assert metrics["EPE"] == pytest.approx(content["metrics"]["EPE"], rel=1e-6)


def test_batch_normalisation_can_stay_until_it_is_frozen(
    four_stages: Path, tiny_config: Path, tmp_path: Path
) -> None:
    copy_stages(four_stages, tiny_config, "float")
    mode = ["--opts", "qat_mode", "with_bn"]
    assert train(tiny_config, "calibration", *mode) == 0
    assert train(tiny_config, "qat", *mode, "qat_trainer.freeze_bn_step", "2") == 0
    assert train(tiny_config, "int_infer", *mode) == 0
    names = load_checkpoint(checkpoint(tiny_config, "qat"))["state_dict"]
    assert any(name.endswith("running_mean") for name in names)
    folded = load_checkpoint(checkpoint(four_stages, "qat"))["state_dict"]
    assert not any(name.endswith("running_mean") for name in folded)
    results = [
        predict(tiny_config, stage, tmp_path / f"{stage}.json", *mode)
        for stage in ("qat", "int_infer")
    ]
    assert results[0] == results[1]


def test_pipeline_test_of_a_later_stage_runs_the_earlier_ones(
    tiny_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tiny_config, "int_infer", "--pipeline-test") == 0
    printed = capsys.readouterr().out
    assert [f"No {stage} checkpoint yet" in printed for stage in STAGES] == [True] * 3 + [False]
    folder = tiny_config.parent / "ckpt"
    assert [path.name for path in folder.iterdir()] == ["pipeline_test"]
    assert {f"{stage}-checkpoint-best.pth.tar" for stage in STAGES} <= {
        path.name for path in (folder / "pipeline_test").iterdir()
    }
    assert train(tiny_config, "qat", "--pipeline-test") == 0
    assert "checkpoint yet" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["pwcnet_pwcnetneck", "pwcnet_lite"])
def test_both_configs_have_every_stage(name: str) -> None:
    path = ROOT / f"configs/opticalflow_pred/pwcnet/{name}_flyingchairs.py"
    config = Config.fromfile(path)
    loads = {
        "calibration_trainer": "float",
        "calibration_predictor": "calibration",
        "qat_trainer": "calibration",
        "qat_predictor": "qat",
        "int_infer_trainer": "qat",
        "int_infer_predictor": "int_infer",
        "float_predictor": "float",
    }
    for section, stage in loads.items():
        converters = config[section]["model_convert_pipeline"]["converters"]
        paths = [c["checkpoint_path"] for c in converters if "checkpoint_path" in c]
        assert paths == [f"{config.ckpt_dir}/{stage}-checkpoint-best.pth.tar"], section
    for stage in STAGES:
        callbacks = config[f"{stage}_trainer"]["callbacks"]
        assert callbacks[-1]["name_prefix"] == f"{stage}-"
    assert config.qat_trainer["optimizer"]["lr"] in (1e-4, 2e-4)


def test_metrics_without_a_known_pixel_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"data": "known", "samples": 1, "metrics": {"EPE": 1.0, "EPE s40+": math.nan}}
    unknown = {"data": "unknown", "samples": 1, "metrics": {"EPE": math.nan}}
    show({"task": "x", "stage": "float", "data_sets": [known, unknown]})
    error = capsys.readouterr().err
    assert error.startswith("warning: unknown: EPE is no number")
    assert "known, " not in error
