"""A config of the original tool kit from the float stage to the compiled program."""

from __future__ import annotations

import json

import pytest

from hat.cli.main import run_command
from hat.engine.checkpoint import STAGES
from tests.migration.layout import write_original_config


@pytest.fixture(scope="module")
def config(tmp_path_factory, generated_chairs):
    """The config with the pipeline tests of all stages run."""
    path = write_original_config(tmp_path_factory.mktemp("original"), generated_chairs)
    for stage in STAGES:
        words = ["--stage", stage, "--config", str(path), "--pipeline-test"]
        assert run_command("train", words) == 0
    return path


def checkpoint(config, stage):
    return str(config.parent / "ckpt/pipeline_test" / f"{stage}-checkpoint-best.pth.tar")


def epe(config, stage, *words):
    file = config.parent / f"{stage}.json"
    options = ["--stage", stage, "--config", str(config), "--ckpt", checkpoint(config, stage)]
    assert run_command("predict", [*options, "--json", str(file), *words]) == 0
    return json.loads(file.read_text())["data_sets"][0]["metrics"]["EPE"]


def test_every_stage_saves_under_its_own_name(config):
    folder = config.parent / "ckpt/pipeline_test"
    for stage in STAGES:
        assert (folder / f"{stage}-checkpoint-best.pth.tar").exists()
        assert (folder / f"{stage}-log.txt").exists()


def test_calibration_tells_its_speed(config):
    text = (config.parent / "ckpt/pipeline_test/calibration-log.txt").read_text()
    assert text.count("samples/sec") == 3
    assert "Step[2-2]" in text


@pytest.mark.parametrize("stage", STAGES)
def test_the_metric_is_that_of_the_flow_in_pixels(config, stage, capsys):
    found = epe(config, stage)
    assert "update_error multiplies the network's flow by 4" in capsys.readouterr().err
    right = epe(config, stage, "--opts", "error_factor", "1")
    assert "multiplies" not in capsys.readouterr().err
    assert found == pytest.approx(right, rel=1e-5)


def test_the_commands_after_training(config, capsys):
    integer = checkpoint(config, "int_infer")
    out = config.parent / "compiled"
    words = ["--config", str(config), "--ckpt", integer]
    assert run_command("compile_perf", [*words, "--out-dir", str(out), "--opt", "O0"]) == 0
    assert "bayes, O0" in capsys.readouterr().out
    words += ["--num-pairs", "1"]
    assert run_command("align_bpu_validation", [*words, "--num-workers", "1"]) == 0
    found = json.loads((config.parent / "ckpt/align_bpu-metrics.json").read_text())
    assert found["data_sets"][0]["differing"] == 0
    options = ["--stage", "int_infer", "--output", str(config.parent / "a.onnx")]
    assert run_command("export_onnx", [*words, *options, "--size", "64", "64"]) == 0
    assert run_command("calops", ["--config", str(config)]) == 0
    assert "1x6x64x128" in capsys.readouterr().out


def test_the_picture_of_a_pair(config, generated_chairs):
    folder = generated_chairs / "FlyingChairs_release/data"
    pair = [str(sorted(folder.glob(f"*_img{i}.*"))[0]) for i in (1, 2)]
    words = ["--config", str(config), "--ckpt", checkpoint(config, "int_infer")]
    words += ["--model-inputs", f"img1:{pair[0]},img2:{pair[1]}"]
    assert run_command("infer", [*words, "--save-path", str(config.parent / "out")]) == 0
    drawn = sorted(path.suffix for path in (config.parent / "out").glob("[!.]*"))
    assert drawn == [".flo", ".png", ".png"]
