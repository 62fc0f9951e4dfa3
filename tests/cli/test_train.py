"""``train.py`` and ``predict.py`` as a user runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from hat.cli.main import run_command
from hat.data.image_io import write_png
from hat.engine.callbacks import Checkpoint
from hat.engine.checkpoint import load_checkpoint, save_checkpoint
from hat.registry import OBJECT_REGISTRY
from horizon.files import atomic_path
from tests.conftest import ROOT

STAGE = ["--stage", "float"]


def train(config, *words):
    return run_command("train", [*STAGE, "--config", str(config), *words])


def weights(config, which="last"):
    path = config.parent / "ckpt" / f"float-checkpoint-{which}.pth.tar"
    return load_checkpoint(path)["state_dict"]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_run_leaves_what_it_promises(tiny_config):
    assert train(tiny_config) == 0
    folder = tiny_config.parent / "ckpt"
    names = {path.name for path in folder.iterdir()}
    assert {
        "float-checkpoint-last.pth.tar",
        "float-checkpoint-best.pth.tar",
        "float-log.txt",
        "float-log.jsonl",
        "tensorboard",
    } <= names
    lines = [json.loads(line) for line in (folder / "float-log.jsonl").read_text().splitlines()]
    keys = set().union(*lines)
    assert {"train/loss", "train/EPE", "val/EPE", "samples_per_second", "data_wait"} <= keys
    assert any((folder / "tensorboard" / "float").iterdir())
    text = (folder / "float-log.txt").read_text()
    assert re.search(r"Epoch\[0\] Step\[0-1\] Cost Time: .* Speed: .* samples/sec", text)


@OBJECT_REGISTRY.register
class KilledWhileSaving(Checkpoint):
    """Ends its process when step 4 is logged, and half of its checkpoint on the disk."""

    def _save(self, trainer, which):
        if trainer.step == 4:
            with atomic_path(self._path(which)) as temporary:
                temporary.write_bytes(b"half of it")
                os.kill(os.getpid(), signal.SIGKILL)
        super()._save(trainer, which)


def test_killed_and_resumed_ends_with_the_same_bits(tiny_config, tmp_path):
    assert train(tiny_config, "--opts", "ckpt_dir", str(tmp_path / "whole")) == 0
    whole = load_checkpoint(tmp_path / "whole" / "float-checkpoint-last.pth.tar")

    plain = tiny_config.read_text()
    tiny_config.write_text(
        "from tests.cli.test_train import KilledWhileSaving\n"
        + plain.replace("ckpt_callback = dict(", "ckpt_callback = dict(type=KilledWhileSaving, ")
    )
    words = [str(ROOT / "tools/train.py"), *STAGE, "--config", str(tiny_config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment)
    assert killed.returncode == -signal.SIGKILL
    last = tmp_path / "ckpt" / "float-checkpoint-last.pth.tar"
    assert load_checkpoint(last)["step"] == 3
    tiny_config.write_text(plain)

    assert train(tiny_config, "--resume") == 0
    resumed = load_checkpoint(last)
    assert resumed["step"] == whole["step"] == 6
    assert same(whole["state_dict"], resumed["state_dict"])
    assert same(whole["resume"]["model"], resumed["resume"]["model"])
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "ckpt" / "float-log.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)


def test_workers_do_not_change_the_result(tiny_config):
    results = []
    for workers in ("0", "2"):
        assert train(tiny_config, "--overwrite", "--opts", "data_num_workers", workers) == 0
        results.append(weights(tiny_config))
    assert same(*results)


def test_another_seed_is_another_run(tiny_config):
    assert train(tiny_config) == 0
    first = weights(tiny_config)
    assert train(tiny_config, "--overwrite", "--opts", "seed", "1") == 0
    assert not same(first, weights(tiny_config))


def test_fine_tuning_starts_from_the_given_weights(tiny_config, tmp_path):
    assert train(tiny_config) == 0
    given = tmp_path / "given.pth.tar"
    save_checkpoint(given, {"state_dict": weights(tiny_config, "best")})
    words = ["--ckpt", str(given), "--opts", "lr", "0.0", "float_trainer.num_steps", "1"]
    assert train(tiny_config, "--overwrite", *words) == 0
    before, after = load_checkpoint(given)["state_dict"], weights(tiny_config)
    names = [name for name in before if name.endswith("conv.weight")]
    assert names
    assert all(torch.equal(before[name], after[name]) for name in names)


def test_pipeline_test_runs_without_data_and_leaves_the_run_alone(tiny_config, capsys):
    words = ["--pipeline-test", "--opts", "data_dir", str(tiny_config.parent / "nowhere")]
    assert train(tiny_config, *words, "train_size", "(64, 64)") == 0
    assert "uses generated pairs instead" in capsys.readouterr().out
    folder = tiny_config.parent / "ckpt"
    assert [path.name for path in folder.iterdir()] == ["pipeline_test"]
    assert (folder / "pipeline_test" / "float-checkpoint-best.pth.tar").exists()


def test_predict_prints_and_writes_metrics(tiny_config, tmp_path, capsys):
    assert train(tiny_config) == 0
    file = tmp_path / "metrics.json"
    words = [*STAGE, "--config", str(tiny_config), "--json", str(file)]
    assert run_command("predict", words) == 0
    assert "Fl-all" in capsys.readouterr().out
    entry = json.loads(file.read_text())["data_sets"][0]
    assert entry["samples"] == 4
    best = load_checkpoint(tmp_path / "ckpt" / "float-checkpoint-best.pth.tar")
    assert entry["metrics"]["EPE"] == pytest.approx(best["metrics"]["EPE"], rel=1e-3)


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("train", ["--opts", "out_chanels", "[4]"], "'out_channels'"),
        ("train", ["--opts", "model.head.use_rez", "1"], r"model\.head\.use_rez.*'use_res'"),
        ("train", ["--opts", "model.type", "PwcTask"], r"model\.type: unknown type 'PwcTask'"),
        ("train", ["--opts", "train_size", "(6000, 64)"], "RandomCrop"),
        ("train", ["--opts", "data_dir", "nowhere"], r"nowhere.*flyingchairs_packer"),
        ("train", ["--resume"], r"checkpoint-last.pth.tar: no such checkpoint"),
        ("predict", [], r"checkpoint-best.pth.tar: no such checkpoint.*train.py"),
        ("predict", ["--ckpt", "nowhere.pth.tar"], r"nowhere.pth.tar: no such checkpoint"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(tiny_config, capfd, command, words, message):
    code = run_command(command, [*STAGE, "--config", str(tiny_config), *words])
    error = capfd.readouterr().err
    assert code == 2
    assert re.search(message, error)
    assert "Traceback" not in error


def test_a_damaged_checkpoint_is_named(tiny_config, tmp_path, capsys):
    assert train(tiny_config) == 0
    path = tmp_path / "ckpt" / "float-checkpoint-best.pth.tar"
    path.write_bytes(path.read_bytes()[:1000])
    assert run_command("predict", [*STAGE, "--config", str(tiny_config)]) == 2
    assert f"{path}: not a readable checkpoint" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_explained(tiny_config, tmp_path, capsys):
    assert train(tiny_config) == 0
    words = [*STAGE, "--config", str(tiny_config), "--opts", "context_channels", str([8] * 6)]
    assert run_command("predict", words) == 2
    assert "the config's model expects" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_damaged_record_is_named_by_whoever_reads_it(
    tiny_config, generated_chairs, tmp_path, capfd, workers
):
    data = tmp_path / "damaged"
    shutil.copytree(generated_chairs / "train_lmdb", data / "train_lmdb")
    shutil.copytree(generated_chairs / "val_lmdb", data / "val_lmdb")
    file = data / "train_lmdb" / "data.mdb"
    content = bytearray(file.read_bytes())
    start = len(content) // 2
    content[start : start + 20000] = bytes(20000)
    file.write_bytes(content)
    words = ["--opts", "data_dir", str(data), "data_num_workers", workers]
    assert train(tiny_config, *words) == 2
    error = capfd.readouterr().err
    assert re.search(r"^error: .*train_lmdb.*(damaged|truncated)", error, re.MULTILINE)
    assert "Traceback" not in error


def test_a_shipped_checkpoint_stands_in_until_there_is_an_own_one(tiny_config, tmp_path, capsys):
    shipped = tmp_path / "shipped"
    assert train(tiny_config, "--opts", "ckpt_dir", str(shipped)) == 0
    words = [*STAGE, "--config", str(tiny_config), "--opts", "shipped_ckpt_dir", str(shipped)]
    assert run_command("predict", words) == 0
    assert f"using the shipped {shipped}" in capsys.readouterr().out
    image = tmp_path / "image.png"
    write_png(image, np.zeros((40, 50, 3), np.uint8))
    pair = ["--model-inputs", f"img1:{image},img2:{image}", "--save-path", str(tmp_path / "out")]
    assert run_command("infer", [*words, *pair]) == 0
    assert f"using the shipped {shipped}" in capsys.readouterr().out
    assert train(tiny_config) == 0
    assert run_command("predict", words) == 0
    assert "using the shipped" not in capsys.readouterr().out
