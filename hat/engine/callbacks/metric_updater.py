"""Training metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hat.data.batch import with_levels_under_old_keys
from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.engine.evaluate import update_training_metrics
from hat.registry import OBJECT_REGISTRY

if TYPE_CHECKING:
    from hat.engine.pipeline_test import PipelineTest
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register
class MetricUpdater(Callback):
    """Feeds the trainer's ``train_metrics`` and logs them.

    Args:
        metric_update_func: called with (metrics, batch, model_outs) after each step; where the
            batch has levels, they are its ``gt_flow`` and ``gt_valid`` too, as configs read them.
            Without one, the metrics are NetworkMetrics and the model a NetworkTask.
        step_log_freq: log every so many steps.
        epoch_log_freq: log at the end of every so many epochs.
        reset_metrics_by: start the averages anew with every "log" or every "epoch".
        log_prefix: begins the line.
    """

    def __init__(
        self,
        metric_update_func: Callable[[list, dict, Any], None] = update_training_metrics,
        step_log_freq: int = 100,
        epoch_log_freq: int = 1,
        reset_metrics_by: str = "log",
        log_prefix: str = "",
    ) -> None:
        if reset_metrics_by not in ("log", "epoch"):
            raise ValueError(
                f"reset_metrics_by must be 'log' or 'epoch', found {reset_metrics_by!r}"
            )
        if step_log_freq < 1 or epoch_log_freq < 1:
            raise ValueError("step_log_freq and epoch_log_freq must be at least 1")
        self.metric_update_func = metric_update_func
        self.step_log_freq = step_log_freq
        self.epoch_log_freq = epoch_log_freq
        self.reset_metrics_by = reset_metrics_by
        self.log_prefix = log_prefix
        self._steps_since_log = 0

    @staticmethod
    def for_pipeline_test(arguments: dict[str, Any], test: PipelineTest) -> dict[str, Any]:
        return {**arguments, "step_log_freq": 1}

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self._reset(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.updater.skipped_in_a_row == 0:
            batch = with_levels_under_old_keys(trainer.batch)
            self.metric_update_func(trainer.train_metrics, batch, trainer.outputs)
            self._steps_since_log += 1
        if trainer.step % self.step_log_freq == 0:
            self._log(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch % self.epoch_log_freq == 0 or trainer.finished:
            self._log(trainer)

    def _log(self, trainer: Trainer) -> None:
        # A step is skipped in every process or in none: all reduce together.
        if self._steps_since_log == 0:
            return
        self._steps_since_log = 0
        values: dict[str, float] = {}
        for metric in trainer.train_metrics:
            values.update(metric.results())
        if distributed.is_main():
            shown = " ".join(f"{name}[{value:.4f}]" for name, value in values.items())
            logger.info(
                "%sEpoch[%d] Step[%d] %s",
                f"{self.log_prefix} " if self.log_prefix else "",
                trainer.epoch,
                trainer.step,
                shown,
            )
        trainer.record({f"train/{name}": value for name, value in values.items()})
        if self.reset_metrics_by == "log":
            self._reset(trainer)

    def _reset(self, trainer: Trainer) -> None:
        self._steps_since_log = 0
        for metric in trainer.train_metrics:
            metric.reset()
