"""Mistakes in configs of networks that are no flow networks: a message, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_own_network import DIGITS, UNTRAINED, hat, write


@pytest.mark.parametrize(
    ("command", "changes", "expected"),
    [
        ("calops", "", "found None as the network"),
        ("compile_perf", "model = dict(type=TwoByTwo)", "no example input given"),
        ("model_checker", 'model = dict(type="MyNet")', "unknown type 'MyNet'"),
        ("calops", "model = dict(type=TwoByTwo, width=3)", "TwoByTwo has no argument 'width'"),
        (
            "export_onnx",
            "model = dict(type=TwoByTwo)\ndeploy_inputs = dict(image=(1, 3, 16, 24))",
            "TwoByTwo refuses the example input (image (1, 3, 16, 24))",
        ),
        (
            "calops",
            "model = dict(type=TwoByTwo)\n"
            "deploy_inputs = dict(depth=(1, 1, 16, 24), image=(1, 3, 16, 24))",
            "the arguments of forward() are image, depth",
        ),
        (
            "calops",
            "model = dict(type=TwoByTwo)\ndeploy_inputs = dict(image=(16, 24))",
            "expected a batch of one",
        ),
        (
            "train",
            "model = dict(type=TwoByTwo)\n"
            "deploy_inputs = dict(image=(1, 3, 16, 24), depth=(1, 1, 16, 24))",
            "dataset: found none",
        ),
    ],
)
def test_mistakes(
    command: str,
    changes: str,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "config.py"
    start = '_base_ = "own_network"\nfrom tests.cli.own_networks import TwoByTwo\n'
    config.write_text(f"{start}ckpt_dir = {str(tmp_path / 'ckpt')!r}\n{changes}\n")
    words = {"train": ["--stage", "float"], "export_onnx": ["--random-weights"]}
    assert hat(command, config, *words.get(command, [])) == 2
    assert expected in capsys.readouterr().err
    if command != "train":
        assert hat("config_check", config) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["data_loader.dataset.side", "28"], "DigitNetwork refuses image (20, 1, 28, 28)"),
        (["targets", "['a', 'b']"], "a sample of the data set has 2 parts; expected 3"),
        (["loss", "None"], "metrics"),
        (["metrics.accuracy", "7"], "metric accuracy: found 7"),
        (["deploy_inputs.image", "(1, 3, 24, 24)"], "refuses the example input"),
        (["best_metric", "acuracy"], "'acuracy' to choose the best by (did you mean 'accuracy'?)"),
    ],
)
def test_mistakes_in_training(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, DIGITS)
    assert hat("train", config, "--stage", "float", "--opts", *words) == 2
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.glob("ckpt/*.tar"))


def test_a_best_metric_that_there_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, DIGITS)
    assert hat("config_check", config, "--opts", "best_metric", "acuracy") == 2
    printed = capsys.readouterr().out
    assert printed.count("did you mean 'accuracy'?") == 1
    assert hat("config_check", config, "--opts", "best_metric", "accuracy/top5") == 0


OTHER_DATA = """
import numpy as np
import torch

_base_ = "own_network"
ckpt_dir = {folder!r}
model = dict(type=torch.nn.Conv2d, in_channels=3, out_channels=1, kernel_size=1)
deploy_inputs = dict(input=(1, 3, 8, 8))
targets = ["wanted"]
loss = {loss}
samples = [(np.ones((3, 8, 8)), np.zeros((1, {side}, 8)))] * 4
data_loader = dict(dataset=samples)
val_data_loader = dict(dataset=samples)
num_epochs = 1
"""


def test_samples_of_64_bits(tmp_path: Path) -> None:
    config = write(tmp_path, OTHER_DATA, loss="torch.nn.MSELoss()", side=8)
    for stage in ("float", "calibration"):
        assert hat("train", config, "--stage", stage) == 0


@pytest.mark.parametrize(
    ("loss", "side", "expected"),
    [
        ("lambda outputs: outputs.mean()", 8, "loss refuses the network's outputs"),
        ("torch.nn.MSELoss()", 5, "the targets (torch.float32 (4, 1, 5, 8))"),
    ],
)
def test_a_loss_that_does_not_fit(
    loss: str, side: int, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, OTHER_DATA, loss=loss, side=side)
    assert hat("train", config, "--stage", "float") == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("loss", "value", "code", "expected"),
    [
        ("lambda y, t: (y - t).sum() * float('nan')", "0.0", 1, "finite, the loss is not. The wei"),
        ("lambda y, t: [y.mean(), y.mean() / 0]", "0.0", 1, "of the 2 losses number [1] (from 0)"),
        (
            "lambda y, t: (y.mean((1, 2, 3)) - t).sum()",
            "np.nan",
            2,
            "input 'wanted' of sample numb",
        ),
    ],
)
def test_a_loss_that_is_not_finite(
    loss: str, value: str, code: int, expected: str, tmp_path: Path
) -> None:
    text = OTHER_DATA.replace("np.zeros((1, {side}, 8))", value)
    text = text.replace("num_epochs = 1", "batch_size = 1\nnum_epochs = 2\nmetrics = {{}}")
    config = write(tmp_path, text, loss=loss)
    assert hat("train", config, "--stage", "float") == code
    log = (tmp_path / "ckpt/float-log.txt").read_text()
    assert expected in log
    assert "level(s)" not in log


def test_a_size_that_does_not_suit_the_strides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = UNTRAINED.replace("import TwoByTwo", "import Skip")
    config = write(tmp_path, text, model="Skip", inputs="image=(1, 3, 16, 24)")
    for command in ("compile_perf", "model_checker"):
        assert hat(command, config, "--march", "host", "--size", "18", "40") == 2
        said = capsys.readouterr().err
        assert "program size 18x40 (height x width), by --size or deploy_inputs: layer add" in said
        assert "expected multiples of 4, such as 20x40" in said
        assert "convert the model again" not in said
        assert hat(command, config, "--march", "host", "--size", "20", "40") == 0
