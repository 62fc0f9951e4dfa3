"""The benchmarks of learning and of flow quality on a few small pairs."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import (
    average_weights,
    carry_over,
    equalise_channels,
    flow_quality,
    flow_sets,
    flow_time,
    learning,
    match_quality,
    runtime_speed,
    teach_levels,
    ways_out,
)
from hat.cli.sections import trained_model
from hat.config import Config
from hat.engine.checkpoint import load_checkpoint, save_checkpoint
from hat.models.backbones import MatchPyramid
from horizon_flow.compile import compile_network
from horizon_flow.network_file import FOLDER, NetworkFile


def test_every_level_is_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "learning.json"
    words = ["--steps", "2", "--batch-size", "2", "--report", "2", "--size", "64", "64", "--no-amp"]
    threads = torch.get_num_threads()
    monkeypatch.setattr("sys.argv", ["learning", *words, "--json", str(file)])
    learning.main()
    torch.set_num_threads(threads)
    (row,) = json.loads(file.read_text())["rows"]
    assert row["samples"] == 4
    assert all(0 < row[level] < 10 for level in ("1/4", "1/8", "1/16", "1/32"))
    assert 0 <= row["dead"] < 0.5
    assert "samples" in capsys.readouterr().out


def test_methods_are_judged_alike() -> None:
    texture = learning.spectral(np.random.default_rng(0), 96, True)
    moved = np.roll(texture, 3, axis=1)
    flow = np.zeros((96, 96, 2), np.float32)
    flow[..., 0] = 3
    flow[:8, :, 0] = 30
    hidden = (flow[..., 0] == 30).astype(np.uint8)
    pair = flow_sets.Pair(texture, moved, flow, hidden)
    results = flow_quality.judge([pair], flow_quality.opencv_methods(), [10, 25])
    zero, found = results["zero flow"], results[flow_quality.REFERENCE]
    assert zero["EPE s0-10"] == zero["median"] == pytest.approx(3.0)
    assert zero["EPE s25+"] == zero["EPE unmatched"] == pytest.approx(30.0)
    assert math.isnan(zero["EPE s10-25"])
    assert found["EPE s0-10"] < 1.0
    _, header = flow_quality.table(results, [10, 25])
    assert header[-4:] == ("s0-10", "s25+", "unmatched", "EPE / DIS medium")


def test_sets_that_are_not_there(tmp_path: Path) -> None:
    assert flow_sets.real_sets(tmp_path) == {}


def test_a_file_is_judged_by_the_true_flow_of_each_pair() -> None:
    pairs = list(flow_sets.generated_set(learning.spectral, "small", 2, (48, 64)))
    flows = [pair.flow.transpose(2, 0, 1)[None] for pair in pairs]
    wrong = [flow + 3 for flow in flows]
    found = ways_out.row("network", "file", "runtime", 0, wrong, pairs, flows)
    assert found["EPE"] == pytest.approx(18**0.5, rel=1e-4)
    assert found["mean px"] == pytest.approx(3, rel=1e-4)


def test_generated_sets_are_the_same_again() -> None:
    first, second = (
        list(flow_sets.generated_set(learning.spectral, "small", 1, (48, 64))) for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert 0 < first[0].occlusion.mean() < 0.5


@pytest.mark.parametrize("real", [False, True])
def test_times_are_those_of_real_pairs_where_there_are_any(tmp_path: Path, real: bool) -> None:
    program = tmp_path / "model.hbm"
    network = NetworkFile.read(FOLDER / "pwcnet_lite.npz").graph()
    found = compile_network(network, (128, 128))
    assert found is not None
    program.write_bytes(found)
    if real:
        folder = tmp_path / "FlyingChairs" / "data"
        folder.mkdir(parents=True)
        for name in ("1_img1.ppm", "1_img2.ppm"):
            cv2.imwrite(str(folder / name), np.zeros((128, 128, 3), np.uint8))
    times = flow_time.measure(program, 1, 2, tmp_path)
    assert times["pairs"] == ("real" if real else "noise")
    assert set(times["ms"]) == {"program", "DIS fast", flow_time.REFERENCE}
    assert all(ms > 0 for ms in times["ms"].values())


def test_a_side_settles_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_speed, "SETTLING_SECONDS", 0.02)
    started, calls = time.perf_counter(), []
    runtime_speed.settle(lambda: calls.append(time.sleep(0.001)))  # type: ignore[arg-type]
    assert time.perf_counter() - started >= 0.02
    assert len(calls) > 1


def test_average_of_weights() -> None:
    first = {"w": torch.tensor([0.0, 4.0]), "n": torch.tensor(3)}
    second = {"w": torch.tensor([4.0, 8.0]), "n": torch.tensor(9)}
    found = average_weights.average(first, second, 0.25)
    assert found["w"].tolist() == [1.0, 5.0]
    assert found["n"] == 3
    kept = average_weights.average(first, second, 0.25, average_weights.pattern("w|x"))
    assert kept["w"].tolist() == [0.0, 4.0]
    with pytest.raises(ValueError, match="different networks"):
        average_weights.average(first, {"w": torch.zeros(3), "n": torch.tensor(1)}, 0.5)
    with pytest.raises(argparse.ArgumentTypeError, match="no regular expression"):
        average_weights.pattern("(")


def test_what_a_narrower_network_has_learnt_is_carried_over(tmp_path: Path) -> None:
    name = "configs/opticalflow_pred/pwcnet/pwcnet_{}_generated.py"
    lite, small = (
        f"models/pwcnet_{which}_generated/float-checkpoint-best.pth.tar"
        for which in ("lite", "small")
    )
    content = load_checkpoint(Path(lite))
    state = content["state_dict"]
    bias = "backbone.matches.0.bn.bias"  # at 1/4, which is the wider network's second level
    state[bias] = state[bias] + 4
    later, output = tmp_path / "later.pth.tar", tmp_path / "out.pth.tar"
    save_checkpoint(later, content)
    words = ["--config", name.format("small"), "--ckpt", small, "--before", lite]
    words += ["--from-config", name.format("lite"), "--after", str(later), "--share", "0.25"]
    assert carry_over.main([*words, "--output", str(output)]) == 0
    before, after = (load_checkpoint(path)["state_dict"] for path in (Path(small), output))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"backbone.matches.1.bn.bias"}
    assert torch.allclose(after[changed.pop()], before["backbone.matches.1.bn.bias"] + 1)


def test_an_equalised_checkpoint_computes_the_same(
    tiny_config: Path, four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = four_stages.parent / "ckpt/float-checkpoint-best.pth.tar"
    output = tmp_path / "equalised.pth.tar"
    words = ["--config", str(tiny_config), "--ckpt", str(ckpt), "--output", str(output)]
    assert equalise_channels.main(words) == 0
    layers = capsys.readouterr().out.split(" layers: ")[1].strip().split(", ")
    before, after = (load_checkpoint(path)["state_dict"] for path in (ckpt, output))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    for layer in layers:
        assert any(name.startswith(layer.removesuffix("conv")) for name in changed), layer
    config = Config.fromfile(tiny_config)
    image = torch.rand(1, 6, 64, 64, generator=torch.Generator().manual_seed(3)) - 0.5
    flows = []
    for path in (ckpt, output):
        model = trained_model(config, "calibration_trainer", "float", path)[0]
        with torch.no_grad():
            flows.append(model({"img": image}))
    torch.testing.assert_close(flows[0], flows[1], rtol=1e-3, atol=1e-4)
    assert equalise_channels.main([*words[:-1], str(ckpt)]) == 2
    assert "would overwrite the input" in capsys.readouterr().err


def test_bad_files_are_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, output = tmp_path / "damaged.pth.tar", tmp_path / "out.pth.tar"
    damaged.write_bytes(b"no checkpoint")
    name = "configs/opticalflow_pred/pwcnet/pwcnet_{}_generated.py"
    lite = "models/pwcnet_lite_generated/float-checkpoint-best.pth.tar"
    teach = ["--config", name.format("small"), "--teacher-config", name.format("lite")]
    carry = ["--config", name.format("small"), "--from-config", name.format("lite")]
    carry += ["--before", lite, "--after", lite]
    for run, words, message in (
        (average_weights.main, [str(tmp_path / "no"), lite], "no such checkpoint"),
        (average_weights.main, [str(damaged), lite], "damaged.pth.tar"),
        (carry_over.main, [*carry, "--ckpt", str(damaged)], "damaged.pth.tar"),
        (carry_over.main, [*carry, "--ckpt", lite], "backbone.matches.0"),
        (equalise_channels.main, [*teach[:2], "--ckpt", str(damaged)], "damaged.pth.tar"),
        (teach_levels.main, [*teach, "--ckpt", str(damaged), "--teacher", lite], "damaged.pth.tar"),
        (teach_levels.main, [*teach, "--ckpt", lite, "--teacher", lite], "backbone.matches.0"),
    ):
        assert run([*words, "--output", str(output)]) == 2
        assert message in capsys.readouterr().err
    assert average_weights.main([lite, str(damaged), "--output", str(damaged)]) == 2
    assert "would overwrite the input B" in capsys.readouterr().err
    assert damaged.read_bytes() == b"no checkpoint"
    assert not output.exists()


def test_new_levels_learn_from_images_of_other_sizes() -> None:
    """The pupil's finer and coarser level come closer to what the teacher sees."""
    torch.manual_seed(0)
    common: dict[str, Any] = {"use_bn": True, "bn_kwargs": {}, "act_type": nn.ReLU()}
    teacher = MatchPyramid([4, 6, 8], [1] * 3, 4, pyr_lvls=3, flow_pred_lvl=2, **common).eval()
    pupil = MatchPyramid(
        [4, 6, 8, 8], [1] * 4, 4, pyr_lvls=4, flow_pred_lvl=1, match_depths=[1], **common
    ).eval()
    assert teach_levels.lessons(pupil, teacher) == {1: (2.0, 2), 4: (0.5, 3)}
    teacher.requires_grad_(False)
    pupil.requires_grad_(False)
    kept = {name: value.clone() for name, value in pupil.state_dict().items()}
    stream = iter(lambda: torch.rand(4, 3, 32, 32), None)
    teach_levels.teach(pupil, teacher, stream, minutes=0.02)
    learning = ("matches.0.", "matches.3.", "levels.3.")
    for name, value in pupil.state_dict().items():
        if not name.startswith(learning):
            assert torch.equal(value, kept[name]), name
    assert not torch.equal(pupil.matches[0].conv.weight, kept["matches.0.conv.weight"])
    assert not torch.equal(pupil.matches[3].conv.weight, kept["matches.3.conv.weight"])


def test_the_best_cost_is_that_of_the_shift_where_a_window_sums_enough() -> None:
    torch.manual_seed(0)
    first = torch.randn(1, 4, 16, 24)
    second = first.roll((2, -3), dims=(2, 3)) + 1.6 * torch.randn(1, 4, 16, 24)
    inner = slice(4, -4)
    right = {}
    for window in match_quality.WINDOWS:
        best = match_quality.best_displacements(first, second, 4, window)[..., inner, inner]
        right[window] = float((best == torch.tensor([-3, 2])[:, None, None]).all(1).float().mean())
    assert right[1] < 0.5 < right[3] < right[5]
    assert right[5] > 0.9


def test_missed_pixels_are_told_from_found_ones() -> None:
    features = {3: (torch.ones(1, 2, 8, 8), torch.ones(1, 2, 8, 8))}
    flow = np.zeros((64, 64, 2), np.float32)
    pair = flow_sets.Pair(flow, flow, flow, np.zeros((64, 64), np.uint8))
    error = torch.zeros(64, 64)
    error[:16] = 9.0
    error[16:24] = 3.0
    rows = list(match_quality.agreements(features, pair, error, 2))
    assert [row[:4] for row in rows[:2]] == [(3, 1, "missed", 16), (3, 1, "found", 40)]
