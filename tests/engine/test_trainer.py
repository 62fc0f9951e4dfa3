from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch

from hat.engine.callbacks.base import Callback
from hat.engine.checkpoint import load_checkpoint
from hat.engine.updater import TrainingDiverged
from hat.errors import InputError
from tests.engine import tiny


def checkpoint_callback(folder, **changes):
    return {
        "type": "Checkpoint",
        "save_dir": folder,
        "name_prefix": "float-",
        "monitor_metric_key": "EPE",
        **changes,
    }


def full_config(folder, **changes):
    """A config with everything that carries state from step to step."""
    callbacks = [
        {"type": "CosLrUpdater", "warmup_by": "step", "warmup_len": 2},
        tiny.validation(interval_by="step", val_interval=3),
        checkpoint_callback(folder, interval_by="step", save_interval=1),
    ]
    settings = {
        "num_epochs": 3,
        "callbacks": callbacks,
        "val_metrics": [{"type": "EndPointError"}],
        "ema_decay": 0.9,
        "clip_grad_norm": 1.0,
    }
    return tiny.trainer_config(**{**settings, **changes})


class StopAt(Callback):
    """Ends the run in the middle, as a kill would: nothing after this line runs."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            raise KeyboardInterrupt


def test_training_lowers_the_loss():
    class Losses(Callback):
        def __init__(self):
            self.values = []

        def on_step_end(self, trainer):
            self.values.append(float(trainer.outputs["losses"][0].detach()))

    recorder = Losses()
    config = tiny.trainer_config(num_epochs=30, data_loader=tiny.loader(jitter=False))
    trainer = tiny.build(config)
    trainer.callbacks.append(recorder)
    trainer.fit()
    assert trainer.step == 30 * 4
    assert sum(recorder.values[-4:]) < 0.5 * sum(recorder.values[:4])


def test_same_seed_same_weights_whatever_the_number_of_workers():
    runs = []
    for workers in (0, 2):
        config = tiny.trainer_config()
        config["data_loader"]["num_workers"] = workers
        trainer = tiny.build(config)
        trainer.fit()
        runs.append(trainer.model)
    assert tiny.same_weights(*runs)


def test_another_seed_takes_another_order():
    orders = []
    for seed in (0, 1):
        trainer = tiny.build(tiny.trainer_config(seed=seed))
        trainer._sampler.set_epoch(0)
        orders.append(list(trainer._sampler))
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(16))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("stop", [1, 4, 6, 11])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, stop):
    whole = tiny.build(full_config(tmp_path / "whole"))
    whole.fit()

    stopped = tiny.build(full_config(tmp_path / "stopped"))
    stopped.callbacks.append(StopAt(stop))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()

    resumed = tiny.build(full_config(tmp_path / "stopped"), seed=99)
    resumed.load_state_dict(load_checkpoint(tmp_path / "stopped/float-checkpoint-last.pth.tar"))
    assert resumed.step == stop
    resumed.fit()
    assert resumed.step == whole.step == 12
    assert tiny.same_weights(whole.model, resumed.model)
    assert tiny.same_weights(whole.eval_model, resumed.eval_model)
    best = [
        load_checkpoint(tmp_path / run / "float-checkpoint-best.pth.tar")
        for run in ("whole", "stopped")
    ]
    assert best[0]["metrics"] == best[1]["metrics"]
    assert all(torch.equal(best[0]["state_dict"][k], v) for k, v in best[1]["state_dict"].items())


def test_resume_by_config(tmp_path):
    first = tiny.build(full_config(tmp_path, num_epochs=1))
    first.fit()
    pipeline = {
        "type": "ModelConvertPipeline",
        "converters": [
            {
                "type": "LoadCheckpoint",
                "checkpoint_path": tmp_path / "float-checkpoint-last.pth.tar",
            }
        ],
    }
    config = full_config(
        tmp_path,
        num_epochs=2,
        model_convert_pipeline=pipeline,
        resume_optimizer=True,
        resume_epoch_or_step=True,
    )
    second = tiny.build(config)
    second.fit()
    assert second.step == 8
    assert second.epoch == 2


def test_the_best_checkpoint_cannot_be_resumed_and_says_so(tmp_path):
    trainer = tiny.build(full_config(tmp_path, num_epochs=1))
    trainer.fit()
    best = load_checkpoint(tmp_path / "float-checkpoint-best.pth.tar")
    with pytest.raises(InputError, match=r"weights only.*last"):
        trainer.load_state_dict(best)


def test_best_follows_the_metric(tmp_path):
    trainer = tiny.build(full_config(tmp_path, num_epochs=6))
    seen = []

    class Watch(Callback):
        def on_scalars(self, trainer, scalars):
            seen.extend(v for k, v in scalars.items() if k == "val/EPE")

    trainer.callbacks.append(Watch())
    trainer.fit()
    assert len(seen) > 3
    best = load_checkpoint(tmp_path / "float-checkpoint-best.pth.tar")
    assert best["metrics"]["EPE"] == min(seen)


def test_an_unknown_monitor_key_is_an_error_if_strict(tmp_path):
    callbacks = [
        tiny.validation(),
        checkpoint_callback(tmp_path, monitor_metric_key="EPF", strict_match=True),
    ]
    config = tiny.trainer_config(callbacks=callbacks, val_metrics=[{"type": "EndPointError"}])
    with pytest.raises(InputError, match=r"'EPF' .*did you mean 'EPE'.*validation gives EPE:"):
        tiny.build(config)


def test_a_bad_sample_is_skipped_and_leaves_no_trace(tmp_path):
    config = tiny.trainer_config(data_loader={**tiny.loader(poison=(3,)), "shuffle": True})
    trainer = tiny.build(config)
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.fit()
    assert trainer.updater.skipped_total == 2  # once per epoch
    after = trainer.model.state_dict()
    assert all(torch.isfinite(v).all() for v in after.values())
    assert any(not torch.equal(before[k], v) for k, v in after.items())
    # six of eight steps counted: the statistics of the skipped forward passes were put back
    assert int(after["body.1.num_batches_tracked"]) == 6


def test_several_bad_steps_in_a_row_stop_with_the_cause():
    config = tiny.trainer_config(
        data_loader=tiny.loader(poison=tuple(range(16))), max_skipped_steps=3
    )
    trainer = tiny.build(config)
    with pytest.raises(TrainingDiverged, match=r"3 steps in a row.*'gt_flow' of sample 0000"):
        trainer.fit()
    assert trainer.updater.skipped_total == 3
    assert all(torch.isfinite(v).all() for v in trainer.model.state_dict().values())


def test_exploding_gradients_are_named():
    trainer = tiny.build(tiny.trainer_config(max_skipped_steps=1))
    weight = trainer.model.body[6].weight
    weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingDiverged, match=r"the gradient of body\.6\.weight is not finite"):
        trainer.fit()


def test_clipping_bounds_the_step():
    moved = []
    for clip in (None, 1e-3):
        config = tiny.trainer_config(
            clip_grad_norm=clip,
            stop_by="step",
            num_steps=1,
            optimizer={"type": torch.optim.SGD, "lr": 1.0},
        )
        trainer = tiny.build(config)
        before = [p.detach().clone() for p in trainer.model.parameters()]
        trainer.fit()
        parameters = trainer.model.parameters()
        steps = [(p - b).norm() for p, b in zip(parameters, before, strict=True)]
        moved.append(float(torch.stack(steps).norm().detach()))
    assert moved[0] > 1e-2
    assert moved[1] == pytest.approx(1e-3, rel=1e-3)


def test_averaged_weights_follow_slowly():
    trainer = tiny.build(tiny.trainer_config(ema_decay=0.99, num_epochs=4))
    start = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.fit()
    name = "body.0.weight"
    raw = (trainer.model.state_dict()[name] - start[name]).norm()
    averaged = (trainer.eval_model.state_dict()[name] - start[name]).norm()
    assert 0 < averaged < raw


def test_parameter_groups_by_name():
    optimizer = {
        "type": torch.optim.Adam,
        "params": {"weight": {"weight_decay": 4e-4}},
        "lr": 1e-3,
    }
    trainer = tiny.build(tiny.trainer_config(optimizer=optimizer))
    groups = trainer.optimizer.param_groups
    assert [g["weight_decay"] for g in groups] == [4e-4, 0]
    counts = [len(g["params"]) for g in groups]
    named = dict(trainer.model.named_parameters())
    assert counts == [sum("weight" in n for n in named), sum("weight" not in n for n in named)]


def test_a_group_that_fits_nothing_is_an_error():
    optimizer = {"type": torch.optim.Adam, "params": {"wieght": {}}, "lr": 1e-3}
    with pytest.raises(InputError, match=r"float_trainer\.optimizer\.params\.wieght"):
        tiny.build(tiny.trainer_config(optimizer=optimizer))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop_by": "step"}, "num_steps"),
        ({"stop_by": "hour"}, "'hour'"),
        ({"num_epochs": 0}, "num_epochs"),
        ({"ema_decay": 1.5}, "ema_decay"),
        ({"num_epoch": 3}, r"float_trainer\.num_epoch: .*did you mean 'num_epochs'"),
    ],
)
def test_wrong_arguments_are_errors_with_their_path(changes, message):
    with pytest.raises(InputError, match=message):
        tiny.build(tiny.trainer_config(**changes))


def test_bfloat16_trains():
    config = tiny.trainer_config(num_epochs=20, data_loader=tiny.loader(jitter=False))
    config["batch_processor"]["enable_amp"] = "force"
    trainer = tiny.build(config)
    dtypes = set()
    trainer.model.body[6].register_forward_hook(lambda m, i, o: dtypes.add(o.dtype))
    trainer.fit()
    assert dtypes == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert trainer.updater.skipped_total == 0


def test_frozen_statistics_stay_and_weights_go_on():
    trainer = tiny.build(tiny.trainer_config(freeze_bn_step=3))
    seen = []

    class Record(Callback):
        def on_step_end(self, trainer):
            state = trainer.model.state_dict()
            seen.append((state["body.1.running_mean"].clone(), state["body.0.weight"].clone()))

    trainer.callbacks.append(Record())
    trainer.fit()
    means, weights = zip(*seen, strict=True)
    moved = [not torch.equal(a, b) for a, b in itertools.pairwise(means)]
    assert moved == [True, True, False, False, False, False, False]
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(weights))


def test_frozen_layers_stay_as_they_are():
    trainer = tiny.build(tiny.trainer_config(frozen=["body.0", "body.1"]))
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.fit()
    for name, value in trainer.model.state_dict().items():
        frozen = name.startswith(("body.0.", "body.1."))
        assert torch.equal(value, before[name]) == frozen, name
    held = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    assert len(held) == sum(p.requires_grad for p in trainer.model.parameters())


def test_a_frozen_layer_that_is_not_there_is_told():
    with pytest.raises(InputError, match=r"no module 'head'; expected names such as body"):
        tiny.build(tiny.trainer_config(frozen=["head"]))


def test_a_compiled_network_trains_alike():
    runs = []
    for compiled in (False, "aot_eager"):
        trainer = tiny.build(tiny.trainer_config(num_epochs=1, compile=compiled, ema_decay=0.9))
        trainer.fit()
        runs.append(trainer)
    plain, compiled = runs
    assert compiled.model._compiled_call_impl is not None
    assert compiled.model.state_dict().keys() == plain.model.state_dict().keys()
    for one, other in zip(plain.model.parameters(), compiled.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
