"""No command writes over what it reads, or leaves a part of its results."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from hat.cli.demo import AFTER, compare
from hat.cli.demo_data import check_data_set
from hat.cli.main import run_command
from hat.data.flow_io import write_flo
from hat.errors import InputError
from hat.visualize.curves import collect
from tests.cli.test_infer import error_of, infer, write_image
from tests.cli.tiny import write_checkpoint, write_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = write_config(tmp_path)
    write_checkpoint(path)
    return path


@pytest.mark.parametrize("name", ["a_flow.png", "a_figure.png", "a_error.png", "a.flo"])
def test_infer_keeps_every_input(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    first = write_image(tmp_path / "a.png")
    truth = tmp_path / "truth.flo"
    write_flo(truth, np.ones((50, 70, 2), np.float32))
    write_image(tmp_path / "copy.png", seed=1)
    second = tmp_path / name
    os.link(tmp_path / "copy.png", second)
    before = second.read_bytes()
    inputs = f"img1:{first},img2:{second},gt:{truth}"
    assert infer(config, inputs, tmp_path) == 2
    assert "would overwrite the input img2" in error_of(capsys)
    assert second.read_bytes() == before


COMMANDS = {
    "calops": ["--json"],
    "predict": ["--stage", "float", "--json"],
    "model_checker": ["--march", "host", "--json"],
    "align_bpu_validation": ["--json"],
    "export_onnx": ["--output"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_config_and_the_checkpoint_are_no_outputs(
    four_stages: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    checkpoint = four_stages.parent / "ckpt" / "float-checkpoint-best.pth.tar"
    for source in (four_stages, checkpoint):
        before = source.read_bytes()
        words = ["-c", str(four_stages), *COMMANDS[command], str(source)]
        assert run_command(command, words) == 2
        assert "would overwrite the input" in error_of(capsys)
        assert source.read_bytes() == before


def test_a_result_that_cannot_be_written_is_told_before_the_work(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for command in COMMANDS:
        words = ["-c", str(four_stages), *COMMANDS[command], str(tmp_path / "file" / "x.json")]
        assert run_command(command, words) == 2
        captured = capsys.readouterr()
        assert "file is no folder" in captured.err
        assert captured.out == ""  # nothing had been computed


def test_fit_host_keeps_the_machines_that_come_along(capsys: pytest.CaptureFixture[str]) -> None:
    from horizon.march.description import FOLDER

    assert run_command("fit_host", ["--out", str(FOLDER / "host.toml")]) == 2
    assert "would overwrite the input host, a machine" in error_of(capsys)


def test_infer_writes_all_files_or_none(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_room(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("hat.visualize.flow_viz.pair_figure", no_room)
    image = write_image(tmp_path / "a.png")
    assert infer(config, f"img1:{image},img2:{image}", tmp_path / "out") == 2
    assert "No space left on device" in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_compile_perf_leaves_no_program_without_its_report(
    four_stages: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if str(target).endswith(".html"):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    words = ["-c", str(four_stages), "--out-dir", str(tmp_path / "out"), "--size", "64", "64"]
    assert run_command("compile_perf", words) == 2
    assert ".html: cannot write this file: Operation not permitted" in error_of(capsys)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_program_with_random_weights_and_a_picture_of_another_shape_are_said(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, other = tmp_path / "trained", tmp_path / "random"
    size = ["--size", "128", "192"]
    words = ["-c", str(four_stages), *size, "--out-dir"]
    assert run_command("compile_perf", [*words, str(trained)]) == 0
    none = ["--opts", "ckpt_dir", str(tmp_path / "none")]
    assert run_command("compile_perf", [*words, str(other), *none]) == 0
    image = write_image(tmp_path / "a.png", (120, 180))
    long = write_image(tmp_path / "b.png", (20, 600))
    capsys.readouterr()

    def said(program: Path, picture: Path) -> str:
        inputs = f"img1:{picture},img2:{picture}"
        more = ("--model", str(program / "model.hbm"))
        assert infer(four_stages, inputs, tmp_path / "out", *more, stage=None) == 0
        return capsys.readouterr().err

    assert said(trained, image) == ""
    assert "its weights are RANDOM" in said(other, image)
    warning = said(trained, long)
    assert "images of 600x20 pixels in a program of 192x128: scaled to 32%, they fill 5%" in warning
    assert "compile_perf.py --size 64 640" in warning


def test_a_demo_that_became_worse_says_so() -> None:
    before = {stage: {"EPE": 4.94} for stage in ("float", "qat", "int_infer")}
    assert "WORSE" not in compare(before, before)
    text = compare(before, {**before, "qat": {"EPE": 5.05}, "int_infer": {"EPE": None}})
    assert "qat 4.9400 -> 5.0500 px, int_infer 4.9400 -> not finite px" in text
    assert "WORSE than before: qat, int_infer." in text
    assert AFTER


def test_a_data_set_of_other_pairs_is_no_demo_data(generated_chairs: Path, tmp_path: Path) -> None:
    check_data_set(tmp_path, 20, 4)
    check_data_set(generated_chairs, 20, 4)
    with pytest.raises(InputError, match="holds 20 generated pairs, 4 of them held out, and 8 and"):
        check_data_set(generated_chairs, 8, 4)
    (tmp_path / "train_lmdb").mkdir()
    with pytest.raises(InputError, match="holds a data set that the demo has not made"):
        check_data_set(tmp_path, 20, 4)


def test_a_demo_refuses_a_folder_of_others_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    data = str(tmp_path / "data")
    for more in ([], ["--overwrite"]):
        words = ["--out-dir", str(tmp_path), "--data-dir", data, *more]
        assert run_command("demo", words) == 2
        assert "holds what hat demo has not made" in error_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_null_in_a_log_is_a_gap() -> None:
    text = '{"step": 1, "EPE": 2.0}\n{"step": 2, "EPE": null}\n{"step": 3, "EPE": 1.0}'
    steps, values = collect([json.loads(line) for line in text.splitlines()])["EPE"]
    assert steps == [1, 2, 3]
    assert np.isnan(values[1])


def test_inputs_that_are_found_near_the_config_are_guarded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "data" / "train_lmdb").mkdir(parents=True)
    (project / "shipped").mkdir()
    elsewhere.mkdir()
    shipped = project / "shipped" / "float-checkpoint-best.pth.tar"
    packed = project / "data" / "train_lmdb" / "data.mdb"
    for path in (shipped, packed):
        path.write_bytes(b"mine")
    config = write_config(project)
    with config.open("a") as file:
        file.write(
            'shipped_ckpt_dir = "shipped"\n'
            'data_loader = dict(dataset=dict(data_path="data/train_lmdb"))\n'
        )
    monkeypatch.chdir(elsewhere)
    for output in (shipped, packed):
        assert run_command("calops", ["--config", str(config), "--json", str(output)]) == 2
        assert "would overwrite the input" in capsys.readouterr().err
        assert output.read_bytes() == b"mine"
