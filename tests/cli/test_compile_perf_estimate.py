"""compile_perf's estimate of one machine: the console, the reports, and where weights come from."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from hat.config import Config
from hat.deploy.estimate_rows import number
from hat.deploy.random_program import random_program
from hat.engine.checkpoint import save_checkpoint
from horizon import hbm, march
from horizon.perf import as_json, estimate
from horizon.quantization import program_state
from horizon.runtime import Model
from tests.cli.compile_config import compile_perf, write_compile_config
from tests.cli.test_compile_perf import board_image
from tests.missing import skip_without

SPEED_LINE = re.compile(r"^FPS=([\d.]+), latency = ([\d.]+) us$", re.MULTILINE)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_compile_config(tmp_path)


def record_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "small.json").read_text())
    return found


def write_int_infer(config: Path) -> Path:
    """A checkpoint of the config's own network."""
    folder = Path(Config.fromfile(config).ckpt_dir)
    path = folder / "int_infer-checkpoint-best.pth.tar"
    program = program_state(random_program(Config.fromfile(config)).graph)
    save_checkpoint(
        path,
        {
            "stage": "int_infer",
            "epoch": 0,
            "step": 0,
            "metrics": {},
            "state_dict": {},
            "program": program,
        },
    )
    return path


@pytest.mark.parametrize("name", ["bayes", "host"])
def test_from_the_config_alone(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "out"
    assert compile_perf(config, "--march", name) == 0
    printed = capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {
        "model.hbm",
        "model.hbir",
        "small.html",
        "small.json",
    }
    program = hbm.read(out / "model.hbm")
    machine = march.load(name)
    expected = json.loads(json.dumps(as_json(estimate(program, machine))))
    record = record_of(out)
    assert record["summary"]["model info"].pop("weights") == "random"
    limit = record["summary"]["estimate"].pop("bounded by")
    assert record == expected
    performance = record["summary"]["performance"]
    ((fps, latency),) = SPEED_LINE.findall(printed)
    assert float(fps) == pytest.approx(performance["FPS"], rel=1e-4)
    assert float(latency) == pytest.approx(performance["latency (us)"], rel=1e-4)
    assert f"bound         {limit}: " in printed
    assert "hrt_model_exec perf" in printed or name != "host"
    page = (out / "small.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "Random weights." in page
    assert program.metadata["weights"] == "random"
    assert printed.count("RANDOM WEIGHTS: there is no ") == 2
    assert printed.rstrip().endswith("means nothing.")
    counters = Model(out / "model.hbm").run_counted({"img": board_image(64, 128)})[1]
    access = record["summary"]["DDR access data"]
    assert access["loaded bytes per run"] == counters.load_bytes
    assert access["stored bytes per run"] == counters.store_bytes


def test_the_slowest_layers_come_first(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_perf(config) == 0
    printed = capsys.readouterr().out
    layers = record_of(tmp_path / "out")["summary"]["layer details"]
    layers.sort(key=lambda layer: -layer["running time (us)"])
    slowest = [
        f"{layer['layer name']} {number(layer['running time (us)'])} us," for layer in layers[:5]
    ]
    lines = printed[printed.index("\nslowest") + 1 :].splitlines()[:5]
    assert [" ".join(re.findall(r"\S+", line.removeprefix("slowest"))[:3]) for line in lines] == (
        slowest
    )


def test_a_checkpoint_of_this_network_is_taken(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_int_infer(config)
    assert compile_perf(config) == 0
    printed = capsys.readouterr().out
    assert f"small of {path}" in printed
    assert "RANDOM" not in printed
    assert record_of(tmp_path / "out")["summary"]["model info"]["weights"] == str(path)
    assert "weights" not in hbm.read(tmp_path / "out" / "model.hbm").metadata
    assert "Random weights" not in (tmp_path / "out" / "small.html").read_text()


def test_a_checkpoint_of_another_network_is_not(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--opts change the network; what is estimated is what the config then describes."""
    path = write_int_infer(config)
    changed = ["--opts", "channels", "[4, 4, 8, 6, 8, 8]"]
    assert compile_perf(config, *changed) == 0
    printed = capsys.readouterr().out
    assert f"RANDOM WEIGHTS: {path} holds another network than {config} describes" in printed
    program = hbm.read(tmp_path / "out" / "model.hbm")
    assert program.metadata["weights"] == "random"
    assert compile_perf(config, "--ckpt", str(path), *changed) == 0
    assert "RANDOM" not in capsys.readouterr().out
    assert hbm.read(tmp_path / "out" / "model.hbm") != program


def test_a_config_without_a_folder_of_checkpoints(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub("^ckpt_dir = .*$", "", config.read_text(), flags=re.MULTILINE)
    config.write_text(text)
    assert compile_perf(config) == 0
    assert f"RANDOM WEIGHTS: {config} names no ckpt_dir. Times" in capsys.readouterr().out


def test_a_file_that_cannot_be_written(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_perf(config) == 0
    out = tmp_path / "out"
    before = (out / "model.hbm").read_bytes()
    (out / "model.hbir").unlink()
    (out / "model.hbir").mkdir()
    assert compile_perf(config, "--opt", "O0") == 2
    assert "model.hbir: cannot write this file" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {
        "model.hbm",
        "model.hbir",
        "small.html",
        "small.json",
    }
    assert (out / "model.hbm").read_bytes() == before  # all files or none


def test_the_estimate_does_not_depend_on_the_weights(four_stages: Path, tmp_path: Path) -> None:
    for name, words in (
        ("trained", []),
        ("random", ["--opts", "ckpt_dir", str(tmp_path / "none"), "seed", "3"]),
    ):
        out = str(tmp_path / name)
        assert compile_perf(four_stages, "--out-dir", out, "--size", "64", "128", *words) == 0
    summaries = [
        json.loads((tmp_path / name / "tiny.json").read_text())["summary"]
        for name in ("trained", "random")
    ]
    weights = [summary["model info"].pop("weights") for summary in summaries]
    assert weights[0].endswith("int_infer-checkpoint-best.pth.tar")
    assert weights[1] == "random"
    assert summaries[0] == summaries[1]


def test_without_details_and_on_fewer_cores(config: Path, tmp_path: Path) -> None:
    found = []
    for words in (
        [],
        ["--opts", "compile_cfg.layer_details", "False"],
        ["--cores", "1"],
    ):
        assert compile_perf(config, *words) == 0
        found.append(record_of(tmp_path / "out"))
    both, short, one = found
    assert set(short) == {"summary"}
    assert short["summary"] == both["summary"]
    assert len(both["details"]) == 2
    assert len(one["details"]) == 1
    speed = [record["summary"]["performance"]["FPS"] for record in found]
    assert speed[0] > speed[2]


@pytest.mark.parametrize(
    "opts",
    [
        ["levels.pyr_lvls", "3", "levels.flow_pred_lvl", "1", "channels", "[4, 6, 8]"],
        ["model.head.use_dense", "True", "model.head.use_res", "True"],
        ["levels.use_bn", "False", "model.head.md", "1"],
        ["deploy_inputs", "5", "task_name", "other"],
    ],
)
def test_other_networks_and_sizes(config: Path, tmp_path: Path, opts: list[str]) -> None:
    size = ["--size", "64", "192"]
    assert compile_perf(config, *size, "--march", "edge256", "--opts", *opts) == 0
    (image,) = Model(tmp_path / "out" / "model.hbm").inputs
    assert tuple(image.shape) == (1, 6, 64, 192)
    assert record_of(tmp_path / "out")["summary"]["performance"]["FPS"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cores", "0"], "--cores 0: expected a number above 0"),
        (["--cores", "3"], "machine bayes: 3 cores; expected 1 to 2"),
        (["--jobs", "0"], "--jobs 0: expected a number above 0"),
        (["--size", "100", "128"], "100x128.*multiples of 64"),
        (["--opts", "compile_cfg.name", "a/b"], "compile_cfg.name is 'a/b'; expected a name"),
        (["--opts", "compile_cfg.layer_details", "2"], "layer_details is 2; expected True or"),
        (["--opts", "compile_cfg.march", "[]"], r"compile_cfg.march is \[\]; expected a machine"),
        (["--opts", "deploy_inputs", "7"], r"deploy_inputs: found 7; expected one tensor"),
        (["--opts", "model", "7"], "model: found 7, expected a dict, or an object"),
        (["--opts", "model.head.use_rez", "1"], "model.head.use_rez: PwcnetHead has no argument"),
        (["--march", "bernoulli2"], "layer .*bernoulli2"),
    ],
)
def test_mistakes_are_told_and_leave_no_files(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert compile_perf(config, *words) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_description(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.toml"
    text = (march.description.FOLDER / "bayes.toml").read_text()
    own.write_text(text.replace("[memory]", "[memory]\nsram_bites = 1", 1))
    assert compile_perf(config, "--march", "bayes", str(own)) == 2
    assert "own.toml" in (error := capsys.readouterr().err)
    assert "sram_bites" in error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert compile_perf(config, "--out-dir", str(file / "below")) == 2
    assert f"{file} is no folder; choose another --out-dir" in capsys.readouterr().err
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        skip_without("ordinary user", "everything is writable for this one")
    assert compile_perf(config, "--out-dir", str(closed / "out")) == 2
    assert f"{closed} is not writable" in capsys.readouterr().err
