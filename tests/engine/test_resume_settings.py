"""A resumed run obeys its config, and says what has changed."""

from __future__ import annotations

import logging

import pytest
import torch

from hat.engine.callbacks import Callback
from hat.engine.callbacks.base import callback_states, restore_callbacks
from hat.engine.optimizer import configured_groups, restore_optimizer
from hat.engine.settings import changed_settings, settings_of
from hat.errors import InputError
from hat.registry import resolve
from tests.cli.test_train import train


def optimizer(kind=torch.optim.Adam, **settings):
    weight = torch.nn.Parameter(torch.ones(3))
    made = kind([{"params": [weight], **settings}], lr=settings.get("lr", 0.1))
    weight.grad = torch.ones(3)
    made.step()
    return made


def test_settings_that_did_not_change_keep_what_a_schedule_made_of_them():
    old = optimizer(lr=0.1, weight_decay=0.01)
    before = configured_groups(old)
    old.param_groups[0]["lr"] = 0.03  # a schedule at work
    new = optimizer(lr=0.1, weight_decay=0.01)
    assert restore_optimizer(new, old.state_dict(), before) == []
    assert new.param_groups[0]["lr"] == 0.03


def test_settings_that_changed_are_obeyed_and_named():
    old = optimizer(lr=0.1, weight_decay=0.01)
    before = configured_groups(old)
    old.param_groups[0] |= {"initial_lr": 0.1, "lr": 0.03}
    new = optimizer(lr=0.2, weight_decay=0.5)
    changes = restore_optimizer(new, old.state_dict(), before)
    assert new.param_groups[0]["lr"] == 0.2
    assert new.param_groups[0]["weight_decay"] == 0.5
    assert "initial_lr" not in new.param_groups[0]
    assert len(changes) == 2
    assert "lr: 0.1 in the run, 0.2 now" in " ".join(changes)
    # what the optimizer has learnt goes on
    assert torch.equal(
        new.state[new.param_groups[0]["params"][0]]["exp_avg"],
        old.state[old.param_groups[0]["params"][0]]["exp_avg"],
    )


def test_another_kind_of_optimizer_is_refused():
    old = optimizer(torch.optim.SGD)
    with pytest.raises(InputError, match="another kind of optimizer"):
        restore_optimizer(optimizer(), old.state_dict(), configured_groups(old))


@pytest.mark.parametrize("saved_settings", [True, False])
def test_a_changed_rate_is_taken_from_the_next_step_on(
    tiny_config, tmp_path, capsys, saved_settings
):
    from hat.engine.checkpoint import load_checkpoint, save_checkpoint

    assert train(tiny_config, "--opts", "lr", "0.001", "float_trainer.num_steps", "4") == 0
    last = tmp_path / "ckpt" / "float-checkpoint-last.pth.tar"
    content = load_checkpoint(last)
    if not saved_settings:  # as version 0.1.0 wrote it
        state = content["resume"]
        del state["settings"], state["optimizer_settings"]
        names = ["StatsMonitor", "MetricUpdater", "CosLrUpdater", "Validation", "Checkpoint"]
        state["callbacks"] = [state["callbacks"].get(name, {}) for name in [*names, "Log", "Watch"]]
        save_checkpoint(last, content)
    capsys.readouterr()
    words = ["--opts", "lr", "0.5", "float_trainer.num_steps", "6"]
    assert train(tiny_config, "--resume", *words) == 0
    text = capsys.readouterr().err
    assert "lr: 0.001 in the run, 0.5 now" in text
    if saved_settings:
        assert "num_steps: 4 in the run, 6 now" in text
    groups = load_checkpoint(last)["resume"]["optimizer"]["param_groups"]
    assert all(group["initial_lr"] == 0.5 for group in groups)


def test_an_unchanged_config_says_nothing(tiny_config, capsys):
    assert train(tiny_config) == 0
    capsys.readouterr()
    assert train(tiny_config, "--resume") == 0
    assert "differs" not in capsys.readouterr().err


class Counter(Callback):
    def __init__(self, count=0):
        self.count = count

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


class Other(Counter):
    pass


def test_callbacks_are_restored_by_name_in_any_order():
    states = callback_states([Callback(), Counter(1), Other(2), Counter(3)])
    own = [Other(), Counter(), Counter()]
    restore_callbacks(own, states)
    assert [callback.count for callback in own] == [2, 1, 3]


def test_missing_and_new_callbacks_are_said(caplog):
    states = callback_states([Counter(1)])
    with caplog.at_level(logging.WARNING):
        restore_callbacks([Other()], states)
    assert "Callback Other: not in the run" in caplog.text
    assert "Callback Counter: in the run that is resumed, not in this config" in caplog.text


def test_settings_are_the_same_for_names_and_classes():
    from hat.engine.callbacks import StatsMonitor

    by_name = resolve({"type": "Scale", "scales": (0.5,), "mode": "bilinear"})
    by_class = resolve({"type": by_name.target, "scales": (0.25,), "mode": "bilinear"})
    assert changed_settings(settings_of(by_name), settings_of(by_class)) == [
        "scales.0: 0.5 in the run, 0.25 now"
    ]
    assert settings_of(resolve({"type": StatsMonitor, "log_freq": 3})) == {"type": "StatsMonitor"}
