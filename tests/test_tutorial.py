"""The tutorial's config snippets and commands, as they stand in its text."""

from __future__ import annotations

import argparse
import importlib
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import InterpolationMode

import hat
import horizon
from hat.config import Config
from hat.registry import build_from_registry
from hat.stages import STAGES
from horizon.quantization import check_prepared, prepared_layers
from tests.conftest import ROOT
from tests.missing import skip_without

TUTORIAL = ROOT.parent / "shared/tutorial/pwcnet_tutorial.zh-CN.txt"
FIRST_LINES = (
    "from torch import nn",
    "data_loader = dict(",
    "def loss_collector(outputs: dict):",
    "val_data_loader = dict(",
    "float_trainer = dict(",
)


def snippet(lines: list[str], first: str) -> str:
    """The Python text from the line ``first`` on, up to where it stops being Python."""
    # the text has lost the indentation of function bodies
    lines = [
        f"    {line}" if before.startswith("def ") and before.endswith(":") else line
        for before, line in zip(["", *lines], lines, strict=False)
    ]
    start = lines.index(first)
    longest = ""
    for end in range(start + 1, min(start + 70, len(lines)) + 1):
        text = "\n".join(lines[start:end])
        try:
            compile(text, "tutorial", "exec")
        except SyntaxError:
            continue
        longest = text
    return longest


@pytest.fixture(scope="module")
def text() -> str:
    if not TUTORIAL.is_file():
        skip_without("real samples", f"the tutorial's text, {TUTORIAL.name}")
    return TUTORIAL.read_text()


@pytest.fixture(scope="module")
def sections(text, generated_chairs) -> dict[str, Any]:
    lines = text.splitlines()
    names: dict[str, Any] = {
        # what the snippets take from the rest of the file that they were cut from
        "torch": torch,
        "np": np,
        "nn": nn,
        "hat": hat,
        "InterpolationMode": InterpolationMode,
        "batch_size_per_gpu": 2,
        "data_num_workers": 0,
        "lr": 1e-4,
        "max_epoch": 1,
        "train_scales": [4, 8, 16, 32, 64],
        "stat_callback": {"type": "StatsMonitor"},
        "loss_metirc_show_update": {
            "type": "MetricUpdater",
            "metric_update_func": lambda metrics, batch, outputs: None,
        },
        "ckpt_callback": {"type": "Checkpoint", "save_dir": "unused"},
        "val_callback": {},
    }
    for first in FIRST_LINES:
        exec(snippet(lines, first), names)
    for name, split in (("data_loader", "train"), ("val_data_loader", "val")):
        names[name]["dataset"]["data_path"] = str(generated_chairs / f"{split}_lmdb")
        names[name]["num_workers"] = 0
    # the generated pairs are smaller than the tutorial's crop
    names["data_loader"]["dataset"]["transforms"][0]["size"] = (64, 64)
    names["val_callback"].update(
        type="Validation",
        data_loader=names["val_data_loader"],
        batch_processor=names["val_batch_processor"],
    )
    return names


def test_the_snippets_are_all_there(sections):
    wanted = {"model", "data_loader", "batch_processor", "val_data_loader", "val_batch_processor"}
    assert wanted | {"float_trainer", "loss_collector"} <= sections.keys()
    assert sections["model"]["head"]["md"] == 4
    assert sections["float_trainer"]["sync_bn"] is True


def test_the_model_has_the_published_number_of_parameters(sections):
    model = build_from_registry(sections["model"], "model")
    assert sum(p.numel() for p in model.parameters()) == 14_092_482


def test_the_trainer_takes_a_step(sections):
    config = {**sections["float_trainer"], "stop_by": "step", "num_steps": 1, "device": "cpu"}
    del config["callbacks"][3:]  # validation and checkpoint have tests of their own
    torch.manual_seed(0)  # with some weights, a channel is 0 everywhere and has no gradient
    trainer = build_from_registry(config, "float_trainer")
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.fit()
    assert trainer.step == 1
    assert trainer.updater.skipped_total == 0
    after = trainer.model.parameters()
    assert all(not torch.equal(b, p) for b, p in zip(before, after, strict=True))


def test_the_three_lines_prepare_the_model(text, sections):
    model = build_from_registry(sections["model"], "model")
    exec(snippet(text.splitlines(), "model.fuse_model()"), {"model": model, "horizon": horizon})
    layers = [name for name, _ in prepared_layers(model)]
    assert "head.estimators.0.context.0.conv" in layers
    assert check_prepared(model) == []
    assert not any(isinstance(m, nn.BatchNorm2d | nn.ReLU) for m in model.modules())


@pytest.mark.parametrize(("command", "kind"), [("train", "trainer"), ("predict", "predictor")])
def test_every_stage_has_its_command_and_section(text, command, kind):
    lines = re.findall(rf"^python3 tools/{command}\.py (.*)$", text, re.MULTILINE)
    parser = argparse.ArgumentParser()
    importlib.import_module(f"hat.cli.{command}").add_arguments(parser)
    stages = []
    for line in lines:
        args = parser.parse_args(line.replace('"', "").split())
        stages.append(args.stage)
        assert isinstance(Config.fromfile(ROOT / args.config).section(f"{args.stage}_{kind}"), dict)
    assert tuple(stages) == STAGES


def test_the_command_that_draws_the_integer_model_s_flow(text):
    (line,) = re.findall(r"^python3 tools/infer\.py (.*)$", text, re.MULTILINE)
    parser = argparse.ArgumentParser()
    infer = importlib.import_module("hat.cli.infer")
    infer.add_arguments(parser)
    args = parser.parse_args(line.split())
    assert (args.stage or infer.DEFAULT_STAGE) == "int_infer"


@pytest.mark.parametrize("command", ["align_bpu_validation", "compile_perf"])
def test_the_commands_of_the_compiled_program(text, command):
    (line,) = re.findall(rf"^python3 tools/{command}\.py (.*)$", text, re.MULTILINE)
    parser = argparse.ArgumentParser()
    importlib.import_module(f"hat.cli.{command}").add_arguments(parser)
    config = Config.fromfile(ROOT / parser.parse_args(line.split()).config)
    assert {"compile_cfg", "deploy_inputs", "align_bpu_predictor"} <= set(config)
    assert (ROOT / "tools" / f"{command}.py").is_file()
