"""A run owns its files: nothing of another run or stage is lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest

from hat.cli.main import run_command
from hat.engine.checkpoint import load_checkpoint, save_checkpoint
from tests.cli.test_train import train, weights


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stage(config: Path, name: str, *words: str) -> int:
    return run_command("train", ["--stage", name, "--config", str(config), *words])


def with_lines(config: Path, *lines: str) -> Path:
    config.write_text(config.read_text() + "\n" + "\n".join(lines) + "\n")
    return config


def test_a_second_run_is_refused_and_changes_nothing(tiny_config, capsys):
    assert train(tiny_config) == 0
    before = contents(tiny_config.parent / "ckpt")
    capsys.readouterr()
    assert train(tiny_config, "--opts", "seed", "1") == 2
    error = capsys.readouterr().err
    for way in ("holds a run of the stage float", "--resume", "--overwrite", "ckpt_dir"):
        assert way in error
    assert contents(tiny_config.parent / "ckpt") == before


def test_overwrite_replaces_the_stage_and_nothing_else(tiny_config):
    folder = tiny_config.parent / "ckpt"
    assert train(tiny_config) == 0
    mine = {"notes.txt", "float-curve.png", "qat-checkpoint-best.pth.tar", "tensorboard/mine"}
    for name in mine:
        (folder / name).write_text("mine")
    extra = folder / "float-checkpoint-epoch-0099.pth.tar"
    extra.write_bytes((folder / "float-checkpoint-last.pth.tar").read_bytes())
    first = weights(tiny_config)
    assert train(tiny_config, "--overwrite", "--opts", "seed", "1") == 0
    assert any(not (first[k] == v).all() for k, v in weights(tiny_config).items())
    assert all((folder / name).read_text() == "mine" for name in mine)
    assert not extra.exists()
    steps = [json.loads(x)["step"] for x in (folder / "float-log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_the_manifest_says_what_the_run_was(tiny_config):
    assert train(tiny_config, "--opts", "lr", "0.002") == 0
    manifest = json.loads((tiny_config.parent / "ckpt" / "float-run.json").read_text())
    assert manifest["stage"] == "float"
    assert manifest["config"] == str(tiny_config)
    assert manifest["opts"] == ["lr", "0.002"]
    assert manifest["settings"]["optimizer.lr"] == "0.002"
    assert manifest["settings"]["batch_processor.forward_dtype"] in ("bfloat16", "float32")
    assert manifest["versions"].keys() >= {"horizon-flow", "torch", "python"}
    assert manifest["finished"]
    assert manifest["process"] is None


def test_a_run_that_is_going_on_is_left_alone(tiny_config, capsys):
    assert train(tiny_config) == 0
    path = tiny_config.parent / "ckpt" / "float-run.json"
    manifest = json.loads(path.read_text())
    parent = os.getppid()  # some process that lives while this test does
    began = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19])
    manifest["process"] = {"host": os.uname().nodename, "pid": parent, "began": began}
    path.write_text(json.dumps(manifest))
    for word in ("--resume", "--overwrite"):
        assert train(tiny_config, word) == 2
        assert "is going on here" in capsys.readouterr().err
    manifest["process"]["began"] = began + 1  # another process has the number by now
    path.write_text(json.dumps(manifest))
    assert train(tiny_config, "--overwrite") == 0


def test_a_run_that_has_saved_nothing_yet_is_begun_anew(tiny_config, monkeypatch):
    def interrupted(self, batch):
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("hat.engine.trainer.DistributedDataParallelTrainer._run_step", interrupted)
        assert train(tiny_config) == 130
    assert (tiny_config.parent / "ckpt" / "float-run.json").exists()
    assert train(tiny_config) == 0


@pytest.mark.parametrize("prefix", ["float-", "shared-"])
def test_no_stage_writes_under_the_names_of_another(tiny_config, prefix, capsys):
    """As a config does that has one name_prefix for all stages."""
    with_lines(
        tiny_config,
        f"ckpt_callback = dict(name_prefix={prefix!r})",
        f"calibration_ckpt_callback = dict(name_prefix={prefix!r})",
    )
    assert train(tiny_config) == 0
    folder = tiny_config.parent / "ckpt"
    before = contents(folder)
    capsys.readouterr()
    start = ["--ckpt", str(folder / f"{prefix}checkpoint-best.pth.tar")]
    assert stage(tiny_config, "calibration", "--overwrite", *start) == 2
    error = capsys.readouterr().err
    assert f"name_prefix='{prefix}'" in error
    assert "expected name_prefix='calibration-'" in error
    assert contents(folder) == before


def test_a_config_may_take_its_stage_from_the_environment(tiny_config):
    with_lines(
        tiny_config,
        "import os",
        "training_step = os.environ.get('HAT_TRAINING_STEP', 'none')",
        "ckpt_callback = dict(name_prefix=training_step + '-')",
        "calibration_ckpt_callback = dict(name_prefix=training_step + '-')",
    )
    assert train(tiny_config) == 0
    first = contents(tiny_config.parent / "ckpt")
    del first["report.html"]  # the page of all stages
    assert stage(tiny_config, "calibration") == 0
    after = contents(tiny_config.parent / "ckpt")
    assert {name: after[name] for name in first} == first
    assert "calibration-checkpoint-best.pth.tar" in after


@pytest.mark.parametrize("kind", ["class", "derived", "object", "partial"])
def test_a_pipeline_test_never_writes_over_a_real_run(tiny_config, kind, capsys):
    assert train(tiny_config) == 0
    folder = tiny_config.parent / "ckpt"
    types = {
        "class": "ckpt_callback = dict(type=Checkpoint)",
        "derived": "ckpt_callback = dict(type=type('Mine', (Checkpoint,), {}))",
        "object": f"float_trainer['callbacks'] = [Checkpoint({str(folder)!r}, 'float-')]",
        "partial": "float_trainer['callbacks'] = [dict(type=functools.partial("
        f"Checkpoint, {str(folder)!r}, 'float-'))]",
    }
    lines = ["import functools", "from hat.engine.callbacks import Checkpoint", types[kind]]
    with_lines(tiny_config, *lines)
    before = contents(folder)
    code = train(tiny_config, "--pipeline-test")
    after = {k: v for k, v in contents(folder).items() if not k.startswith("pipeline_test")}
    assert after == before
    if kind in ("class", "derived"):
        assert code == 0
        assert (folder / "pipeline_test" / "float-checkpoint-last.pth.tar").exists()
    else:
        assert code == 2
        assert "where a real run saves" in capsys.readouterr().err


def test_a_pipeline_test_removes_what_pipeline_tests_made_only(tiny_config):
    folder = tiny_config.parent / "ckpt" / "pipeline_test"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    assert train(tiny_config, "--pipeline-test") == 0
    assert train(tiny_config, "--pipeline-test") == 0
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_run_rewound_keeps_its_best_checkpoint_until_it_is_beaten(tiny_config, tmp_path):
    assert train(tiny_config) == 0
    best = tmp_path / "ckpt" / "float-checkpoint-best.pth.tar"
    content = load_checkpoint(best)
    content["metrics"]["EPE"] = 0.001
    save_checkpoint(best, content)
    before = best.read_bytes()
    last = tmp_path / "ckpt" / "float-checkpoint-last.pth.tar"
    state = load_checkpoint(last)
    state["step"] = state["resume"]["step"] = 4
    state["resume"] |= {"epoch": 1, "step_in_epoch": 0}
    state["resume"]["callbacks"]["Checkpoint"] = {"best_value": None, "judged_step": -1.0}
    save_checkpoint(last, state)
    assert train(tiny_config, "--resume") == 0
    assert best.read_bytes() == before


def test_an_unfinished_own_run_is_not_passed_over_for_the_shipped_one(
    tiny_config, tmp_path, capsys
):
    assert train(tiny_config) == 0
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    best = tmp_path / "ckpt" / "float-checkpoint-best.pth.tar"
    best.rename(shipped / best.name)
    with_lines(tiny_config, f"shipped_ckpt_dir = {str(shipped)!r}")
    capsys.readouterr()
    assert stage(tiny_config, "calibration") == 2
    error = capsys.readouterr().err
    assert "has begun" in error
    assert f"--ckpt {shipped / best.name}" in error
    assert stage(tiny_config, "calibration", "--ckpt", str(shipped / best.name)) == 0


def test_the_start_of_a_run_can_be_its_best(tiny_config, tmp_path):
    """What a run begins with is a candidate: it never ends worse than it began."""
    assert train(tiny_config) == 0
    given = tmp_path / "given.pth.tar"
    given.write_bytes((tmp_path / "ckpt" / "float-checkpoint-best.pth.tar").read_bytes())
    words = ["--overwrite", "--ckpt", str(given), "--opts", "lr", "10.0"]
    assert train(tiny_config, *words, "val_callback.val_on_train_begin", "True") == 0
    best = load_checkpoint(tmp_path / "ckpt" / "float-checkpoint-best.pth.tar")
    assert best["step"] == 0
    start = load_checkpoint(given)
    assert best["metrics"]["EPE"] == pytest.approx(start["metrics"]["EPE"], rel=1e-6)
    lines = (tmp_path / "ckpt" / "float-log.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["step"] == 0
    assert "val/EPE" in json.loads(lines[0])
    # a stage that has no steps is evaluated after it has run only
    assert (
        stage(tiny_config, "calibration", "--opts", "val_callback.val_on_train_begin", "True") == 0
    )
    lines = (tmp_path / "ckpt" / "calibration-log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if "val/EPE" in line] == [3]
