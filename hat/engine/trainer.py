"""The training loop.

``fit`` repeats: take a batch, let the batch processor turn it into one guarded update of the
weights, let the callbacks look. Everything that the next step depends on is in ``state_dict``, so
that a run which was killed and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hat import interruption
from hat.engine import distributed
from hat.engine.callbacks.base import Callback, callback_states, restore_callbacks
from hat.engine.callbacks.checkpoint import check_best_metric
from hat.engine.checkpoint import load_weights
from hat.engine.convert import ModelConvertPipeline
from hat.engine.data_loading import batches, build_train_loader, set_epoch
from hat.engine.ema import averaged_model
from hat.engine.frozen import batch_norms, freeze_layers
from hat.engine.optimizer import build_optimizer, configured_groups, restore_optimizer
from hat.engine.processors import BatchProcessor
from hat.engine.run_length import RunLength
from hat.engine.samples import Sample
from hat.engine.settings import changed_settings
from hat.engine.sync_batchnorm import convert_sync_batchnorm
from hat.engine.updater import Updater
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, Component

if TYPE_CHECKING:
    from hat.engine.pipeline_test import PipelineTest

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register(name="distributed_data_parallel_trainer")
class DistributedDataParallelTrainer:
    """Trains a model in this process, or in step with the other processes of its group.

    Args:
        model: the model to train.
        data_loader: config of a ``torch.utils.data.DataLoader``.
        optimizer: config of an optimizer; its ``params`` may give groups of their own to the
            parameters whose names contain a key.
        batch_processor: what to do with a batch.
        device: where to train; None takes the process's own device.
        stop_by: "epoch" (``num_epochs``), "step" (``num_steps``) or "minutes" (``num_minutes``, see
            :class:`~hat.engine.run_length.RunLength`; such a run is not the same to the bit again).
        callbacks: called in this order at every moment.
        train_metrics, val_metrics: metrics that MetricUpdater and Validation fill.
        sync_bn: batch statistics over the batch of all processes.
        model_convert_pipeline: applied to the model before anything else.
        resume_optimizer, resume_epoch_or_step: continue from the checkpoint that the pipeline
            loads: the optimizer's state; the counters, random state and callbacks.
        clip_grad_norm: largest L2 norm of the gradients; None does not clip.
        ema_decay: evaluate and save an exponential moving average of the weights; None does not.
        freeze_bn_step: from this step on (a number below 1: this fraction of the run), batch
            normalisation uses its running statistics in training too, so that the weights settle
            for what evaluation will use.
        frozen: names of modules that are not trained, their batch statistics included.
        max_skipped_steps: this many non-finite steps in a row end the training.
        channels_last: keep weights and activations in channels-last memory format.
        compile: run the network through ``torch.compile`` in training, which takes minutes first
            (with ``ema_decay`` evaluation does without); the name of a backend instead of True.
        seed: order of the samples and seed of the data loader.
    """

    deferred_args = ("optimizer", "data_loader")

    def __init__(
        self,
        model: nn.Module,
        data_loader: Component,
        optimizer: Component,
        batch_processor: BatchProcessor,
        device: torch.device | str | int | None = None,
        stop_by: str = "epoch",
        num_epochs: int | None = None,
        num_steps: int | None = None,
        num_minutes: float | None = None,
        callbacks: Sequence[Callback] = (),
        train_metrics: Sequence[Any] = (),
        val_metrics: Sequence[Any] = (),
        sync_bn: bool = False,
        model_convert_pipeline: ModelConvertPipeline | None = None,
        resume_optimizer: bool = False,
        resume_epoch_or_step: bool = False,
        clip_grad_norm: float | None = None,
        ema_decay: float | None = None,
        freeze_bn_step: float | None = None,
        frozen: Sequence[str] = (),
        max_skipped_steps: int = 5,
        channels_last: bool = False,
        compile: bool | str = False,
        seed: int = 0,
    ) -> None:
        self.device = torch.device(device if device is not None else distributed.default_device())
        self.batch_processor = batch_processor
        check_best_metric(callbacks, val_metrics)
        self.callbacks = list(callbacks)
        self.train_metrics = [metric.to(self.device) for metric in train_metrics]
        self.val_metrics = [metric.to(self.device) for metric in val_metrics]
        self.loader, self._sampler = build_train_loader(data_loader, seed)
        self._clock_decides = False
        self.run_length = RunLength(stop_by, num_epochs, num_steps, num_minutes, len(self.loader))
        if model_convert_pipeline is not None:
            model = model_convert_pipeline(model)
        model = model.to(self.device)
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        if sync_bn and distributed.world_size() > 1:
            model = convert_sync_batchnorm(model, self.device)
        self.model = model
        self._frozen_norms = freeze_layers(model, frozen)
        self.optimizer = build_optimizer(optimizer, model)
        self._configured = configured_groups(self.optimizer)
        self.settings: dict[str, str] = {}  # what a resumed run is compared by
        self.stage = ""
        self.ema = None if ema_decay is None else averaged_model(model, ema_decay)
        self.updater = Updater(model, self.optimizer, clip_grad_norm, max_skipped_steps)
        if compile:
            backend = {} if compile is True else {"backend": compile}
            model.compile(dynamic=False, **backend)  # for each size of images anew
        self._replica = self._wrap(model)
        self.freeze_bn_step = freeze_bn_step
        self._batch_norms = batch_norms(model)
        self.seed = seed
        self.epoch = self.step = self.step_in_epoch = 0
        self.batch: dict[str, Any] = {}
        self.outputs: Any = None
        self.seconds_waiting = self.seconds_total = 0.0
        self.val_results: dict[str, float] = {}
        checkpoint = model_convert_pipeline.checkpoint if model_convert_pipeline else None
        self._resume_from = checkpoint if resume_optimizer or resume_epoch_or_step else None
        self._resume_parts = (resume_optimizer, resume_epoch_or_step)

    @staticmethod
    def for_pipeline_test(arguments: dict[str, Any], test: PipelineTest) -> dict[str, Any]:
        return {**arguments, "stop_by": "step", "num_steps": test.steps}

    @property
    def eval_model(self) -> nn.Module:
        """The weights to evaluate and to save: averaged ones where averaging is on."""
        return self.model if self.ema is None else self.ema.module

    @property
    def steps_per_epoch(self) -> int:
        return len(self.loader)

    @property
    def length(self) -> str:
        """How much work there is, for the log."""
        return f"{self.run_length.describe()}, {self.steps_per_epoch} steps per epoch"

    @property
    def skipped_steps(self) -> int:
        return self.updater.skipped_total

    @property
    def total_steps(self) -> float:
        """Steps of the whole run; by minutes an estimate from the pace so far."""
        return self.run_length.total_steps(self.step)

    @property
    def seconds(self) -> float:
        """Wall time of the run up to its last step, summed over all resumptions."""
        return self.run_length.seconds

    @property
    def finished(self) -> bool:
        return self.run_length.finished(self.step)

    def fit(self) -> None:
        """Train until the end.

        Raises:
            TrainingDiverged: several steps in a row were not finite.
            Interrupted: a signal has ended the run between two steps, in all processes.
        """
        if self._resume_from is not None:
            self.load_state_dict(self._resume_from, *self._resume_parts)
        with interruption.watched():
            self.run_length.start_clock()
            self._clock_decides = self.run_length.by_time or any(
                callback.by_minutes for callback in self.callbacks
            )
            try:
                self._call("on_loop_begin")
                while not self.finished:
                    self._run_epoch()
            except interruption.Interrupted as error:
                self._call("on_interrupt", error)
                raise
            self._call("on_loop_end")

    def record(self, scalars: dict[str, float]) -> None:
        """Hand named values to every callback that keeps or shows them."""
        self._call("on_scalars", scalars)

    def show(self, samples: Sequence[Sample]) -> None:
        """Hand pairs of a validation to every callback that draws them."""
        self._call("on_samples", samples)

    def record_pictures(self, pictures: dict[str, np.ndarray]) -> None:
        """Hand pictures, uint8 RGB, to every callback that keeps them."""
        self._call("on_pictures", pictures)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs besides ``eval_model``'s weights."""
        state: dict[str, Any] = {
            "settings": self.settings,
            "optimizer": self.optimizer.state_dict(),
            "optimizer_settings": self._configured,
            "epoch": self.epoch,
            "step": self.step,
            "step_in_epoch": self.step_in_epoch,
            "seconds": [self.run_length.seconds, self.run_length.start_up],
            "skipped": [self.updater.skipped_total, self.updater.skipped_in_a_row],
            "world_size": distributed.world_size(),
            "val_results": dict(self.val_results),
            "rng": torch.get_rng_state(),
            "callbacks": callback_states(self.callbacks),
        }
        if self.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        if self.ema is not None:
            state["model"] = self.model.state_dict()
            state["ema_updates"] = int(self.ema.n_averaged)
        return state

    def load_state_dict(
        self, checkpoint: dict[str, Any], optimizer: bool = True, counters: bool = True
    ) -> None:
        """Continue from ``checkpoint`` (see :mod:`hat.engine.checkpoint`).

        The config is obeyed where it has changed since, and each change is logged as a warning.

        Raises:
            InputError: it was not saved for resuming, by another number of processes, or with
                another optimizer.
        """
        state = checkpoint.get("resume")
        if state is None:
            raise InputError(
                "this checkpoint holds weights only and cannot be resumed; resume from the "
                "'...-checkpoint-last.pth.tar' or '...-checkpoint-epoch-....pth.tar' of the run"
            )
        load_weights(self.eval_model, checkpoint["state_dict"], "resume")
        if self.ema is not None:
            load_weights(self.model, state.get("model", checkpoint["state_dict"]), "resume")
            self.ema.n_averaged.fill_(state.get("ema_updates", 0))
        changes = changed_settings(state.get("settings") or self.settings, self.settings)
        if optimizer:
            groups = restore_optimizer(
                self.optimizer, state["optimizer"], state.get("optimizer_settings")
            )
            changes = changes or groups  # without settings in the file these are what is known
        if changes and distributed.is_main():
            logger.warning(
                "The config differs from that of the run which is resumed, and is obeyed from "
                "here on:\n  %s",
                "\n  ".join(changes),
            )
        if counters:
            if state["world_size"] != distributed.world_size():
                raise InputError(
                    f"the run was made by {state['world_size']} process(es), this one has "
                    f"{distributed.world_size()}; resume with as many (an epoch's samples are "
                    "dealt out by process)"
                )
            self.epoch, self.step = state["epoch"], state["step"]
            self.step_in_epoch = state["step_in_epoch"]
            self.run_length.seconds, self.run_length.start_up = state.get("seconds", [0.0, 0.0])
            self.updater.skipped_total, self.updater.skipped_in_a_row = state["skipped"]
            self.val_results = dict(state["val_results"])
            torch.set_rng_state(state["rng"])
            if "cuda_rng" in state and self.device.type == "cuda":
                torch.cuda.set_rng_state(state["cuda_rng"], self.device)
            restore_callbacks(self.callbacks, state["callbacks"])

    def _run_epoch(self) -> None:
        start = self.step_in_epoch * (self.loader.batch_size or 1)
        progress = self.run_length.progress(self.step - self.step_in_epoch)
        set_epoch(self.loader, self._sampler, self.epoch, start, progress)
        self._call("on_epoch_begin")
        self._replica.train()
        before = time.perf_counter()
        for batch in batches(self.loader):
            self.seconds_waiting += time.perf_counter() - before
            self._run_step(batch)
            self.seconds_total += time.perf_counter() - before
            before = time.perf_counter()
            if self.finished:
                break
            interruption.stop_if_requested(self.device)
        if self.step_in_epoch >= self.steps_per_epoch:
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
        self._call("on_epoch_end")

    def _run_step(self, batch: Any) -> None:
        self._call("on_step_begin")
        for batch_norm in self._batch_norms if self._bn_is_frozen() else self._frozen_norms:
            batch_norm.eval()
        self.batch, self.outputs = self.batch_processor.train(
            self._replica, batch, self.device, self.updater
        )
        if self.ema is not None and self.updater.skipped_in_a_row == 0:
            self.ema.update_parameters(self.model)
        self.step += 1
        self.step_in_epoch += 1
        clock = self.run_length.read_clock()
        if self._clock_decides:  # then all processes have to see the same
            clock = distributed.greatest(clock, self.device)
        self.run_length.step_done(self.step, clock)
        self._call("on_step_end")

    def _bn_is_frozen(self) -> bool:
        start = self.freeze_bn_step
        if start is None:
            return False
        return (self.run_length.progress(self.step) if 0 < start < 1 else self.step) >= start

    def _call(self, moment: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self, *arguments)

    def _wrap(self, model: nn.Module) -> nn.Module:
        if distributed.world_size() == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)
