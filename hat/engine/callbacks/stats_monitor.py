"""Speed of training and the time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.registry import OBJECT_REGISTRY

if TYPE_CHECKING:
    from hat.engine.calibrator import Calibrator
    from hat.engine.pipeline_test import PipelineTest
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer

logger = logging.getLogger(__name__)

SecondsLeft = Callable[[int, float], float]
"""Of the steps that are done and the seconds of a step."""


@OBJECT_REGISTRY.register
class StatsMonitor(Callback):
    """Logs, every ``log_freq`` steps, speed, time left and the share of time spent on waiting.

    Waiting is the time in which no batch was ready: above a tenth, more ``num_workers`` help.
    """

    def __init__(self, log_freq: int = 100) -> None:
        if log_freq < 1:
            raise ValueError(f"log_freq must be at least 1, found {log_freq}")
        self.log_freq = log_freq

    @staticmethod
    def for_pipeline_test(arguments: dict[str, Any], test: PipelineTest) -> dict[str, Any]:
        return {**arguments, "log_freq": 1}

    def on_loop_begin(self, trainer: Trainer) -> None:
        self._restart(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step % self.log_freq == 0 or trainer.finished:
            self._report(trainer, trainer.step_in_epoch, trainer.run_length.seconds_left)

    def on_calibration_step(self, trainer: Calibrator) -> None:
        if trainer.step % self.log_freq == 0 or trainer.step == trainer.num_steps:
            steps = trainer.num_steps
            self._report(trainer, trainer.step, lambda step, pace: (steps - step) * pace)

    def _restart(self, trainer: Trainer | Calibrator) -> None:
        self._since = time.perf_counter()
        self._first_step = trainer.step
        self._waiting = trainer.seconds_waiting

    def _report(
        self, trainer: Trainer | Calibrator, step_in_epoch: int, seconds_left: SecondsLeft
    ) -> None:
        self._log(trainer, step_in_epoch, seconds_left)
        self._restart(trainer)

    def _log(
        self, trainer: Trainer | Calibrator, step_in_epoch: int, seconds_left: SecondsLeft
    ) -> None:
        steps = trainer.step - self._first_step
        seconds = time.perf_counter() - self._since
        if steps == 0 or not distributed.is_main():
            return
        samples = steps * (trainer.loader.batch_size or 1) * distributed.world_size()
        waiting = (trainer.seconds_waiting - self._waiting) / seconds
        first = step_in_epoch - steps
        logger.info(
            "Epoch[%d] Step[%d-%d] Cost Time: %.2f s Speed: %.2f samples/sec "
            "Remaining Time: %s Data wait: %.1f %%",
            trainer.epoch,
            max(first, 0),
            step_in_epoch - 1,
            seconds,
            samples / seconds,
            duration(seconds_left(trainer.step, seconds / steps)),
            100.0 * waiting,
        )
        trainer.record({"samples_per_second": samples / seconds, "data_wait": waiting})


def duration(seconds: float) -> str:
    """``1 d 02:03:04`` or ``02:03:04``."""
    days, rest = divmod(round(seconds), 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock
