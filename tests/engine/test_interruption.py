"""A signal in training: the state of the last finished step is kept, and resumed to the bit."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch

from hat.engine import distributed
from hat.engine.callbacks import Callback
from hat.engine.checkpoint import load_checkpoint
from hat.engine.evaluate import update_flow_metrics
from hat.interruption import Interrupted, signals_handled
from tests.engine import tiny

LAST = "float-checkpoint-last.pth.tar"
BEST = "float-checkpoint-best.pth.tar"


class SignalAt(Callback):
    """Sends a signal to ``process`` (this one, or its parent) at a step."""

    def __init__(self, step: int, process: str = "own", number: int = signal.SIGINT) -> None:
        self.step, self.process, self.number = step, process, number

    def on_step_end(self, trainer: Any) -> None:
        if trainer.step == self.step:
            os.kill(os.getpid() if self.process == "own" else os.getppid(), self.number)


class UpdateAndSignal:
    """A validation whose update of the metrics meets a signal at the given call."""

    def __init__(self, call: int) -> None:
        self.calls, self.call = 0, call

    def metric_update_func(self, metrics: list, batch: dict, outputs: Any) -> None:
        self.calls += 1
        if self.calls == self.call:
            os.kill(os.getpid(), signal.SIGINT)
        update_flow_metrics(metrics, batch, outputs)


def config_for(folder, validation: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Three epochs of four steps, validated every third step; nothing is saved but the best."""
    callbacks = [
        {"type": "CosLrUpdater", "warmup_by": "step", "warmup_len": 2},
        tiny.validation(interval_by="step", val_interval=3, **(validation or {})),
        {
            "type": "Checkpoint",
            "save_dir": folder,
            "name_prefix": "float-",
            "save_interval": 1000,
            "monitor_metric_key": "EPE",
        },
    ]
    settings = {
        "num_epochs": 3,
        "callbacks": callbacks,
        "val_metrics": [{"type": "EndPointError"}],
        "ema_decay": 0.9,
    }
    return tiny.trainer_config(**{**settings, **changes})


def interrupted(trainer: Any) -> Interrupted:
    with signals_handled(), pytest.raises(Interrupted) as caught:
        trainer.fit()
    return caught.value


def resumed(folder) -> Any:
    trainer = tiny.build(config_for(folder), seed=99)
    trainer.load_state_dict(load_checkpoint(folder / LAST))
    trainer.fit()
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without an interruption, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = tiny.build(config_for(folder))
    trainer.fit()
    return trainer, folder


def same_end(folder, trainer, whole) -> None:
    reference, reference_folder = whole
    assert trainer.step == reference.step == 12
    assert tiny.same_weights(reference.model, trainer.model)
    assert tiny.same_weights(reference.eval_model, trainer.eval_model)
    best = [load_checkpoint(place / BEST) for place in (reference_folder, folder)]
    assert best[0]["metrics"] == best[1]["metrics"]
    assert all(torch.equal(best[0]["state_dict"][k], v) for k, v in best[1]["state_dict"].items())


@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_the_last_step_is_saved_and_resumed_to_the_bit(tmp_path, whole, step):
    trainer = tiny.build(config_for(tmp_path))
    trainer.callbacks.insert(0, SignalAt(step))
    error = interrupted(trainer)
    assert trainer.step == load_checkpoint(tmp_path / LAST)["step"] == step
    assert error.note == (
        f"saved {tmp_path / LAST} at step {step} of 12; run the same command with --resume to "
        "continue"
    )
    same_end(tmp_path, resumed(tmp_path), whole)


@pytest.mark.parametrize("call", [1, 3])  # of two batches in each validation
def test_a_validation_that_is_interrupted_is_made_up_for(tmp_path, whole, call):
    own = {"callbacks": [UpdateAndSignal(call)]}
    trainer = tiny.build(config_for(tmp_path, own))
    interrupted(trainer)
    step = 3 if call == 1 else 6
    assert trainer.step == load_checkpoint(tmp_path / LAST)["step"] == step
    same_end(tmp_path, resumed(tmp_path), whole)


def test_before_the_first_step_there_is_nothing_to_save(tmp_path):
    class AtOnce(Callback):
        def on_loop_begin(self, trainer: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer = tiny.build(config_for(tmp_path))
    trainer.callbacks += [AtOnce(), Looks()]
    error = interrupted(trainer)
    assert (error.exit_code, error.note) == (
        143,
        "no step was finished; run the same command again",
    )
    assert not list(tmp_path.iterdir())


class Looks(Callback):
    def on_epoch_begin(self, trainer: Any) -> None:
        from hat import interruption

        interruption.stop_if_requested(trainer.device)


def distributed_run(device: torch.device, argument: Any) -> int:
    """Trains for ever, unless a signal ends it; process ``sender`` sends one."""
    folder, sender, process, number = argument
    trainer = tiny.build(config_for(folder, num_epochs=10**6))
    if distributed.rank() == sender:
        trainer.callbacks.append(SignalAt(5, process, number))
    folder.joinpath(f"pid-{distributed.rank()}").write_text(str(os.getpid()))
    trainer.fit()
    return 0


@pytest.mark.parametrize(
    ("sender", "process", "number"),
    [(0, "parent", signal.SIGINT), (1, "parent", signal.SIGTERM), (1, "own", signal.SIGTERM)],
)
def test_all_processes_stop_at_the_same_step(tmp_path, sender, process, number):
    argument = (tmp_path, sender, process, number)
    with signals_handled(), pytest.raises(Interrupted) as caught:
        distributed.run_distributed(distributed_run, argument, "0,1")
    step = load_checkpoint(tmp_path / LAST)["step"]
    assert step >= 5
    assert f"at step {step} of " in caught.value.note
    assert not any(is_running(tmp_path / f"pid-{rank}") for rank in (0, 1))


def is_running(file) -> bool:
    return os.path.exists(f"/proc/{file.read_text()}")
