"""Validation during training."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.engine.callbacks.intervals import Interval
from hat.engine.data_loading import build_eval_loader
from hat.engine.evaluate import evaluate, metric_update
from hat.engine.processors import BatchProcessor
from hat.engine.samples import SHOWN, Sample, samples_of
from hat.registry import OBJECT_REGISTRY, Component

if TYPE_CHECKING:
    from hat.engine.pipeline_test import PipelineTest
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register
class Validation(Callback):
    """Evaluates the trainer's ``eval_model`` with its ``val_metrics``.

    Args:
        data_loader: config of the validation data loader.
        batch_processor: with need_grad_update=False.
        callbacks: those with a ``metric_update_func`` say how metrics are updated; by default with
            the batch's full-resolution flow and the model's output.
        val_model: evaluate this model with the trained weights instead of the trained one.
        val_interval, interval_by: every so many epochs, steps or minutes.
        val_on_train_end: validate at the end as well.
        val_on_train_begin: validate before the first step as well, so that the weights that a run
            begins with are a candidate for the best checkpoint.
        max_batches: evaluate the first batches only.
    """

    deferred_args = ("data_loader",)

    def __init__(
        self,
        data_loader: Component,
        batch_processor: BatchProcessor,
        callbacks: Sequence[Any] = (),
        val_model: nn.Module | None = None,
        val_interval: float = 1,
        interval_by: str = "epoch",
        val_on_train_end: bool = True,
        max_batches: int | None = None,
        val_on_train_begin: bool = False,
    ) -> None:
        self.interval = Interval(val_interval, interval_by, ("val_interval", "interval_by"))
        self.by_minutes = interval_by == "minutes"
        self.loader = build_eval_loader(data_loader, by_size=True)
        self.batch_processor = batch_processor
        self.update = metric_update(callbacks)
        self.val_model = val_model
        self.val_on_train_end = val_on_train_end
        self.val_on_train_begin = val_on_train_begin
        self.max_batches = max_batches
        self._last_step = -1
        self._unfinished = False

    def on_loop_begin(self, trainer: Trainer) -> None:
        self.interval.begin(trainer)
        # a stage without training steps has no model to evaluate before it has run
        at_start = self.val_on_train_begin and trainer.step == 0 < trainer.total_steps
        # a run that is resumed may have been interrupted in its validation
        if at_start or self._unfinished:
            self._validate(trainer)

    @staticmethod
    def for_pipeline_test(arguments: dict[str, Any], test: PipelineTest) -> dict[str, Any]:
        return {**arguments, "max_batches": test.batches}

    def on_step_end(self, trainer: Trainer) -> None:
        if self.interval.due_after_step(trainer):
            self._validate(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.interval.due_after_epoch(trainer) or (trainer.finished and self.val_on_train_end):
            self._validate(trainer)

    def _validate(self, trainer: Trainer) -> None:
        if self._last_step == trainer.step:
            return
        self._last_step, self._unfinished = trainer.step, True
        model = trainer.eval_model
        if self.val_model is not None:
            self.val_model.load_state_dict(model.state_dict())
            model = self.val_model.to(trainer.device)
        distributed.share_buffers(model)
        samples: list[Sample] = []

        def keep(batch: dict, outputs: Any) -> None:
            if distributed.is_main() and isinstance(batch, dict) and len(samples) < SHOWN:
                samples.extend(samples_of(batch, outputs, SHOWN - len(samples)))

        was_training = model.training
        started = time.perf_counter()
        results = evaluate(
            model,
            self.loader,
            self.batch_processor,
            trainer.val_metrics,
            trainer.device,
            update=self.update,
            max_batches=self.max_batches,
            seen=keep,
        )
        self._unfinished = False
        model.train(was_training)
        trainer.val_results = {**results, "step": float(trainer.step)}
        if distributed.is_main():
            shown = " ".join(f"{name}[{value:.4f}]" for name, value in results.items())
            logger.info(
                "Validation after %d epoch(s), step %d: %s (%.1f s)",
                trainer.epoch,
                trainer.step,
                shown,
                time.perf_counter() - started,
            )
        trainer.record({f"val/{name}": value for name, value in results.items()})
        trainer.show(samples)

    def state_dict(self) -> dict[str, Any]:
        return {"unfinished": self._unfinished}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._unfinished = state.get("unfinished", False)
