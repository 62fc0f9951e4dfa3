"""The align_bpu_validation command on a very small network.

Its validation set has four pairs of 96x128, its programs are multiples of 64.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hat.cli.main import run_command
from hat.cli.sections import trained_model
from hat.config import Config
from hat.deploy.board_predictor import BOARD, FLOAT_INPUT, SAME_INPUT, equal_sizes
from hat.deploy.build import compile_model
from horizon import hbm, march
from horizon.compiler import compile_program
from horizon.quantization import IntegerModel
from tests.horizon.hbir.programs import conv_attributes, conv_program
from tests.horizon.hbm.programs import short_program


def align(config: Path, file: Path, *words: str) -> int:
    return run_command("align_bpu_validation", ["-c", str(config), "--json", str(file), *words])


def results(file: Path) -> dict[str, Any]:
    (data_set,) = json.loads(file.read_text())["data_sets"]
    return data_set


def integer_model(config: Path) -> IntegerModel:
    model = trained_model(Config.fromfile(config), "infer_cfg", "int_infer")[0]
    assert isinstance(model, IntegerModel)
    return model


def write_program(config: Path, path: Path, size: tuple[int, int], bias: int = 0) -> Path:
    """The config's program, the bias of its last convolution off by ``bias``."""
    model = integer_model(config)
    nodes = list(model.graph.nodes)
    last = max(i for i, node in enumerate(nodes) if node.op == "conv2d")
    values = nodes[last].attributes
    nodes[last] = replace(nodes[last], attributes={**values, "bias": values["bias"] + bias})
    changed = IntegerModel(replace(model.graph, nodes=tuple(nodes)))
    hbm.write(compile_model(changed, size).program, path)
    return path


def write_half_resolution(path: Path) -> Path:
    """A program whose flow is half as large as its images, 128x128; int_infer's is a quarter."""
    values = conv_attributes(
        np.random.default_rng(0), "conv2d", (2, 3, 3, 6), "int32", False, stride=(2, 2)
    )
    graph = conv_program("conv2d", (1, 128, 128, 6), values, "int8", "int32", None)
    hbm.write(compile_program(graph, march.load("host")).program, path)
    return path


@pytest.mark.parametrize("words", [(), ("--march", "edge256", "--num-workers", "3")])
def test_the_program_is_int_infer_on_every_pair(
    four_stages: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    assert align(four_stages, tmp_path / "a.json", *words) == 0
    printed = capsys.readouterr().out
    found = results(tmp_path / "a.json")
    assert (found["pairs"], found["padded"], found["differing"]) == (4, 4, 0)
    assert found["values"] == 4 * 2 * 32 * 32  # of the padded images
    assert found["metrics"][BOARD] == found["metrics"][SAME_INPUT]
    assert "Differing output integers: 0 of 8,192" in printed
    assert "4 pairs are smaller than the program's images" in printed
    assert re.search(r"Program: [\d.]+ pairs/s", printed)
    assert "val_lmdb, 4 pairs\nProgram: 128x128 pixels, compiled for" in printed


def test_metrics_with_the_float_input_are_those_of_predict(
    four_stages: Path, tmp_path: Path
) -> None:
    assert align(four_stages, tmp_path / "a.json") == 0
    words = ["--stage", "int_infer", "-c", str(four_stages), "--json", str(tmp_path / "p.json")]
    assert run_command("predict", words) == 0
    found = results(tmp_path / "a.json")
    assert found["metrics"][FLOAT_INPUT] == pytest.approx(
        results(tmp_path / "p.json")["metrics"], nan_ok=True
    )
    assert 0 < found["other_inputs"] < 0.05 * found["inputs"]
    assert found["inputs"] == 4 * 6 * 96 * 128


def test_metrics_are_those_of_the_integers_in_pixels(four_stages: Path, tmp_path: Path) -> None:
    """The end-point error once more, from the data set with numpy."""
    from hat.data.datasets import FlyingChairs
    from hat.data.transforms import rgb_to_yuv444_uint8
    from hat.metrics import full_resolution

    model = integer_model(four_stages)
    dataset = FlyingChairs(Config.fromfile(four_stages).data_dir + "/val_lmdb")
    sums = []
    for sample in (dataset[i] for i in range(3)):
        yuv = rgb_to_yuv444_uint8(sample["img"].reshape(96, 128, 2, 3)).reshape(96, 128, 6)
        padded = np.pad(yuv, ((0, 32), (0, 0), (0, 0)), mode="edge").transpose(2, 0, 1)[None]
        integers = model.integers((torch.from_numpy(padded).float() - 128) / 128).numpy()
        scales = np.array(model.graph.tensors["flow"].scales).reshape(-1, 1, 1)
        flow = torch.from_numpy(integers[:, :, :24] * scales)
        large = full_resolution(flow, (96, 128))[0].numpy().transpose(1, 2, 0)
        sums.append(np.hypot(*(large - sample["gt_flow"]).transpose(2, 0, 1)).mean())
    assert align(four_stages, tmp_path / "a.json", "--num-pairs", "3") == 0
    assert results(tmp_path / "a.json")["metrics"][BOARD]["EPE"] == pytest.approx(np.mean(sums))


def test_a_program_of_other_integers_fails(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_program(four_stages, tmp_path / "wrong.hbm", (128, 128), bias=40)
    assert align(four_stages, tmp_path / "a.json", "--model", str(file)) == 1
    found = results(tmp_path / "a.json")
    assert 0 < found["differing"] <= found["values"]
    assert found["metrics"][BOARD] != found["metrics"][SAME_INPUT]
    assert found["first_differing"].startswith("sample ")
    assert align(four_stages, tmp_path / "right.json") == 0
    assert found["metrics"][SAME_INPUT] == results(tmp_path / "right.json")["metrics"][BOARD]
    printed = capsys.readouterr().out
    assert f"First in {found['first_differing']}" in printed
    assert "was it compiled from this checkpoint?" in printed


def test_a_larger_program_takes_padded_images(four_stages: Path, tmp_path: Path) -> None:
    file = write_program(four_stages, tmp_path / "large.hbm", (192, 256))
    assert align(four_stages, tmp_path / "a.json", "--model", str(file)) == 0
    found = results(tmp_path / "a.json")
    assert (found["padded"], found["values"]) == (4, 4 * 2 * 48 * 64)


def test_int8_programs(four_stages: Path, tmp_path: Path) -> None:
    opts = ["--opts", "compile_cfg.input_source", "ddr", "compile_cfg.opt", "O0"]
    assert align(four_stages, tmp_path / "a.json", *opts) == 0
    assert results(tmp_path / "a.json")["differing"] == 0


def test_blue_first_data_sets(four_stages: Path, tmp_path: Path) -> None:
    opts = ["val_data_loader.dataset.to_rgb", "False", "image_transforms.0.rgb_input", "False"]
    assert align(four_stages, tmp_path / "bgr.json", "--opts", *opts) == 0
    assert align(four_stages, tmp_path / "rgb.json") == 0
    bgr, rgb = (results(tmp_path / f"{order}.json") for order in ("bgr", "rgb"))
    assert bgr["metrics"] == rgb["metrics"]


def test_the_results_are_kept_in_the_folder_of_checkpoints(
    four_stages: Path, tmp_path: Path
) -> None:
    ckpt = four_stages.parent / "ckpt" / "int_infer-checkpoint-best.pth.tar"
    words = ["-c", str(four_stages), "--ckpt", str(ckpt), "--num-pairs", "1"]
    opts = ["--opts", "ckpt_dir", str(tmp_path)]
    assert run_command("align_bpu_validation", [*words, *opts]) == 0
    assert results(tmp_path / "align_bpu-metrics.json")["pairs"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-workers", "0"], "--num-workers 0: expected a number above 0"),
        (["--num-pairs", "-1"], "--num-pairs -1: expected a number above 0"),
        (["--model", "no.hbm"], "no.hbm: no such program"),
        (["--model", "small"], r"small.hbm: takes images up to 64x64.*found 128x96"),
        (["--model", "text"], "text.hbm: header: the file does not begin with HBMFLOW"),
        (["--model", "other"], "other.hbm: not the program of an optical flow network"),
        (["--model", "half"], "half.hbm: .*flow 1/2 .*expected .*1/4"),
        (["--ckpt", "no.pth.tar"], "no.pth.tar: no such checkpoint"),
        (["--march", "no_such_machine"], "no_such_machine"),
        (["--opts", "val_data_loader.dataset.transforms.0.to_yuv", "True"], "'yuv444'; set to_yuv"),
    ],
)
def test_mistakes_exit_with_2(
    four_stages: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    if words == ["--model", "small"]:
        words = ["--model", str(write_program(four_stages, tmp_path / "small.hbm", (64, 64)))]
    if words == ["--model", "text"]:
        (tmp_path / "text.hbm").write_text("hello" * 100)
        words = ["--model", str(tmp_path / "text.hbm")]
    if words == ["--model", "other"]:
        hbm.write(short_program(), tmp_path / "other.hbm")
        words = ["--model", str(tmp_path / "other.hbm")]
    if words == ["--model", "half"]:
        words = ["--model", str(write_half_resolution(tmp_path / "half.hbm"))]
    assert align(four_stages, tmp_path / "a.json", *words) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (tmp_path / "a.json").exists()


def test_a_folder_that_cannot_be_made_is_told(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert align(four_stages, tmp_path / "file" / "a.json", "--num-pairs", "1") == 2
    assert "file is no folder; choose another --json" in capsys.readouterr().err


def test_a_name_that_is_a_number(four_stages: Path, tmp_path: Path) -> None:
    words = ["--num-pairs", "1", "--opts", "compile_cfg.name", "5"]
    assert align(four_stages, tmp_path / "a.json", *words) == 0


def test_batches_of_equal_sizes() -> None:
    class Pair:
        def __init__(self, side: int) -> None:
            self.sample = {"img": torch.zeros(6, side, 4)}

    pairs: list[Any] = [Pair(side) for side in (4, 4, 4, 5, 4, 4)]
    sizes = [[p.sample["img"].shape[1] for p in batch] for batch in equal_sizes(pairs, 2)]
    assert sizes == [[4, 4], [4], [5], [4, 4]]
