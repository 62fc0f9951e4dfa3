from __future__ import annotations

import math

import pytest
import torch

from hat.engine.callbacks import CosLrUpdater, PolyLrUpdater, StepDecayLrUpdater
from hat.engine.callbacks.base import Callback
from tests.engine import tiny


def rates(updater, total=100, per_epoch=10, base=1.0):
    return [updater.lr_at(step, base, total, per_epoch) for step in range(total)]


def test_cosine_with_warm_up_by_epochs():
    values = rates(CosLrUpdater(warmup_by="epoch", warmup_len=2))
    assert values[:20] == pytest.approx([(i + 1) / 20 for i in range(20)])
    assert values[20] == 1.0
    assert values[60] == pytest.approx(0.5)
    assert values[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 79 / 80)))


def test_cosine_ends_at_stop_lr_after_max_steps():
    values = rates(CosLrUpdater(stop_lr=0.1, max_steps=50), base=2.0)
    assert values[0] == 2.0
    assert values[50:] == pytest.approx([0.2] * 50)


def test_step_decay_by_epoch_and_by_step():
    values = rates(StepDecayLrUpdater(lr_decay_id=[3, 6], lr_decay_factor=0.1))
    assert values[29] == 1.0
    assert values[30] == pytest.approx(0.1)
    assert values[60] == pytest.approx(0.01)
    by_step = rates(StepDecayLrUpdater(lr_decay_id=[5], update_by="step", lr_decay_factor=0.5))
    assert by_step[4:6] == [1.0, 0.5]


def test_constant_warm_up_and_polynomial():
    values = rates(PolyLrUpdater(power=2.0, warmup_len=10, warmup_mode="constant"))
    assert values[:10] == [0.1] * 10
    assert values[55] == pytest.approx(0.25)


def test_every_group_keeps_its_base_rate():
    seen = []

    class Record(Callback):
        def on_step_end(self, trainer):
            seen.append([g["lr"] for g in trainer.optimizer.param_groups])

    config = tiny.trainer_config(
        optimizer={"type": torch.optim.SGD, "lr": 0.1, "params": {"bias": {"lr": 0.2}}},
        callbacks=[{"type": "StepLrUpdater", "lr_decay_id": [1], "lr_decay_factor": 0.5}],
    )
    trainer = tiny.build(config)
    trainer.callbacks.append(Record())
    trainer.fit()
    assert seen[0] == [0.2, 0.1]
    assert seen[-1] == [0.1, 0.05]


def test_a_whole_schedule_is_followed_by_the_trainer():
    seen = []

    class Record(Callback):
        def on_step_end(self, trainer):
            seen.append(trainer.optimizer.param_groups[0]["lr"])

    trainer = tiny.build(tiny.trainer_config(callbacks=[{"type": "CosLrUpdater"}]))
    trainer.callbacks.append(Record())
    trainer.fit()
    assert seen == pytest.approx(rates(CosLrUpdater(), total=8, per_epoch=4, base=1e-2))


@pytest.mark.parametrize("arguments", [{"warmup_by": "day"}, {"warmup_len": -1}, {"stop_lr": 2.0}])
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match=r"must|part"):
        CosLrUpdater(**arguments)
