from __future__ import annotations

import json
import logging
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.engine.callbacks import StatsMonitor, ZeroFlowWatch
from hat.engine.callbacks.stats_monitor import duration
from hat.engine.checkpoint import load_checkpoint, save_checkpoint
from hat.errors import InputError
from hat.run_log import read_log
from tests.engine import tiny


class FakeTrainer:
    """A trainer's face as ZeroFlowWatch sees it."""

    class Updater:
        skipped_in_a_row = 0

    def __init__(self, predicted: torch.Tensor, truth: torch.Tensor) -> None:
        self.step = 0
        self.seed = 4
        self.updater = self.Updater()
        self.outputs = {"pred_flows": predicted}
        self.batch = {"gt_flow_levels": [truth]}


def watched(predicted, truth, steps=40):
    watch = ZeroFlowWatch(first_step=10, window=3, every=5)
    trainer = FakeTrainer(predicted, truth)
    for step in range(1, steps + 1):
        trainer.step = step
        watch.on_step_end(trainer)
    return watch


def test_a_network_stuck_at_zero_flow_is_noticed(caplog):
    truth = 5 * torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    with caplog.at_level(logging.WARNING):
        watch = watched(torch.full_like(truth, 1e-3), truth)
    assert watch.stuck
    assert re.search(r"predicts zero flow.*--opts seed 5", caplog.text)


@pytest.mark.parametrize("factor", [0.3, 0.9])
def test_a_network_that_learns_is_left_alone(factor, caplog):
    truth = 5 * torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not watched(factor * truth, truth).stuck
    assert not caplog.records


def test_the_first_steps_are_not_judged():
    truth = torch.ones(1, 2, 4, 4)
    assert not watched(torch.zeros_like(truth), truth, steps=9).stuck


def test_stats_monitor_reports_the_tutorial_s_line(caplog):
    config = tiny.trainer_config(callbacks=[{"type": "StatsMonitor", "log_freq": 3}])
    with caplog.at_level(logging.INFO):
        tiny.build(config).fit()
    lines = [r.message for r in caplog.records if "Cost Time" in r.message]
    assert [re.match(r"Epoch\[\d\] Step\[\d-\d\]", line).group() for line in lines] == [
        "Epoch[0] Step[0-2]",
        "Epoch[1] Step[0-1]",
        "Epoch[1] Step[2-3]",
    ]
    assert all("samples/sec" in line and "Remaining Time" in line for line in lines)


def test_durations():
    assert duration(59.6) == "00:01:00"
    assert duration(2 * 86400 + 3661) == "2 d 01:01:01"


def test_metrics_are_averaged_between_log_lines(tmp_path):
    def update(metrics, batch, outputs):
        metrics[0].update([torch.tensor(float(trainer.step))])

    config = tiny.trainer_config(
        callbacks=[
            {"type": "MetricUpdater", "metric_update_func": update, "step_log_freq": 2},
            {"type": "TrainingLog", "save_dir": tmp_path},
        ],
        train_metrics=[{"type": "LossShow"}],
    )
    trainer = tiny.build(config)
    trainer.fit()
    losses = [line["train/loss"] for line in read_log(tmp_path / "log.jsonl")]
    assert losses == [1.5, 3.5, 5.5, 7.5]


def test_validation_by_steps_leaves_the_model_in_training_mode(tmp_path):
    modes = []
    config = tiny.trainer_config(
        callbacks=[
            tiny.validation(interval_by="step", val_interval=2),
            {"type": "TrainingLog", "save_dir": tmp_path},
        ],
        val_metrics=[{"type": "EndPointError"}],
    )
    trainer = tiny.build(config)
    trainer.model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    trainer.fit()
    steps = [line["step"] for line in read_log(tmp_path / "log.jsonl")]
    assert steps == [2, 4, 6, 8]
    assert modes.count(True) == 8


def test_validation_of_another_model_uses_the_trained_weights():
    config = tiny.trainer_config(
        callbacks=[tiny.validation(val_model={"type": "TinyFlow"})],
        val_metrics=[{"type": "EndPointError"}],
    )
    trainer = tiny.build(config)
    trainer.fit()
    own = tiny.validation()
    expected = tiny.build(own)
    expected._validate(trainer)
    first = dict(trainer.val_results)
    trainer.callbacks[0]._last_step = -1
    trainer.callbacks[0]._validate(trainer)
    assert trainer.val_results == first
    assert tiny.same_weights(trainer.callbacks[0].val_model, trainer.model)


@pytest.mark.parametrize("arguments", [{"log_freq": 0}, {"log_freq": -3}])
def test_stats_monitor_refuses(arguments):
    with pytest.raises(ValueError, match="log_freq"):
        StatsMonitor(**arguments)


def test_a_resumed_log_drops_the_steps_that_are_run_again(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps({"step": s, "x": 1.0}) + "\n" for s in range(1, 9)) + '{"step": 9, "x'
    )
    trainer = tiny.build(
        tiny.trainer_config(callbacks=[{"type": "TrainingLog", "save_dir": tmp_path}])
    )
    trainer.step, trainer.epoch = 4, 1
    trainer.callbacks[0].on_loop_begin(trainer)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4]


def test_checkpoints_never_hold_what_is_not_finite(tmp_path):
    path = tmp_path / "x.pth.tar"
    save_checkpoint(path, {"state_dict": {"w": torch.ones(2)}})
    with pytest.raises(ValueError, match="w is not finite"):
        save_checkpoint(path, {"state_dict": {"w": torch.tensor([1.0, torch.nan])}})
    assert torch.equal(load_checkpoint(path)["state_dict"]["w"], torch.ones(2))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pth.tar"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable checkpoint: it is empty"),
        (b"PK\x03\x04 rubbish", "not a readable checkpoint: it is damaged or incomplete"),
        (b"PIEH" + bytes(60), r"not a readable checkpoint: it begins with b'PIEH"),
        (pickle.dumps({"a": Path("b")}), "not a readable checkpoint"),
    ],
)
def test_rubbish_is_not_a_checkpoint(tmp_path, content, message):
    path = tmp_path / "bad.pth.tar"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_checkpoint(path)
    assert "weights_only" not in str(error.value)


def test_an_archive_of_another_kind_is_not_a_checkpoint(tmp_path):
    np.savez(tmp_path / "a.npz", flow=np.zeros(3))
    with pytest.raises(InputError, match=r"an archive of flow\.npy; expected a file that"):
        load_checkpoint(tmp_path / "a.npz")


def test_a_flipped_bit_in_a_weight_is_found(tmp_path):
    path = tmp_path / "x.pth.tar"
    save_checkpoint(path, {"state_dict": {"w": torch.arange(1000.0)}})
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(1000.0).numpy().tobytes()) + 2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.pth\.tar: .*damaged, .*data/0 .*checksum"):
        load_checkpoint(path)


def test_a_checkpoint_without_checksums_is_read(tmp_path):
    path = tmp_path / "x.pth.tar"
    torch.serialization.set_crc32_options(False)
    try:
        save_checkpoint(path, {"state_dict": {"w": torch.ones(2)}})
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(load_checkpoint(path)["state_dict"]["w"], torch.ones(2))


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path):
    path = tmp_path / "evil.pth.tar"
    torch.save({"state_dict": {}, "callback": print}, path)
    with pytest.raises(InputError, match="more than weights"):
        load_checkpoint(path)


def test_a_dict_without_weights_is_explained(tmp_path):
    path = tmp_path / "other.pth.tar"
    torch.save({"model": 1}, path)
    with pytest.raises(InputError, match="holds no 'state_dict'; found a dict with the keys model"):
        load_checkpoint(path)
