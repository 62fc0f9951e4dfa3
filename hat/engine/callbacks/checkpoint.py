"""Saves checkpoints: the last, the best, and every so many epochs."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.engine.callbacks.intervals import Interval
from hat.engine.callbacks.validation import Validation
from hat.engine.checkpoint import load_checkpoint, model_content, save_checkpoint
from hat.errors import InputError
from hat.metrics.base import ResultMetric
from hat.registry import OBJECT_REGISTRY, nearest

if TYPE_CHECKING:
    from hat.engine.pipeline_test import PipelineTest
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer
    from hat.interruption import Interrupted

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register
class Checkpoint(Callback):
    """Writes ``{name_prefix}checkpoint-{last,best,epoch-0000}.pth.tar`` into ``save_dir``.

    ``last`` and ``epoch-...`` can be resumed from; ``best`` holds weights only. Place it after
    Validation, whose results choose the best.

    Args:
        save_dir: the folder.
        name_prefix: usually the stage and a dash, ``"float-"``.
        save_interval, interval_by: every so many epochs, steps or minutes; only epochs write
            ``epoch-...`` files.
        strict_match: a missing ``monitor_metric_key`` is an error; otherwise it is a warning and
            the last checkpoint counts as the best.
        mode: "min" or "max": which value of the metric is better.
        monitor_metric_key: the metric that chooses the best; with None, or without any validation,
            the last is the best.
        save_on_train_end: write ``last`` at the end as well.
        keep_epochs: write the ``epoch-...`` files.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name_prefix: str = "",
        save_interval: float = 1,
        interval_by: str = "epoch",
        strict_match: bool = False,
        mode: str = "min",
        monitor_metric_key: str | None = None,
        save_on_train_end: bool = True,
        keep_epochs: bool = True,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', found {mode!r}")
        self.save_dir = Path(save_dir)
        self.name_prefix = name_prefix
        self.interval = Interval(save_interval, interval_by, ("save_interval", "interval_by"))
        self.by_minutes = interval_by == "minutes"
        self.strict_match = strict_match
        self.mode = mode
        self.monitor_metric_key = monitor_metric_key
        self.save_on_train_end = save_on_train_end
        self.keep_epochs = keep_epochs
        self.best_value: float | None = None
        self._judged_step = -1.0

    def check_names(self, metrics: Sequence[Any]) -> None:
        """InputError if ``metrics`` cannot give the metric that is to choose the best.

        Nothing is said with ``strict_match`` off, or of metrics whose names are not known yet.
        """
        known = [m.known_names() if isinstance(m, ResultMetric) else None for m in metrics]
        names = [name for each in known for name in each or ()]
        key = self.monitor_metric_key
        if not self.strict_match or key is None or not known or None in known:
            return
        if key not in names and not key.startswith(tuple(f"{name}/" for name in names)):
            raise InputError(
                f"Checkpoint: no metric {key!r} to choose the best by{nearest(key, names)}; "
                f"validation gives {', '.join(names)}: set best_metric, or monitor_metric_key of "
                "the callback, to one of them"
            )

    @staticmethod
    def for_pipeline_test(arguments: dict[str, Any], test: PipelineTest) -> dict[str, Any]:
        return {**arguments, "save_dir": test.folder}

    def on_loop_begin(self, trainer: Trainer) -> None:
        """A run that goes on from an earlier step keeps its best checkpoint until it is beaten."""
        self.interval.begin(trainer)
        path = self._path("best")
        if trainer.step > 0 and self.monitor_metric_key is not None and path.is_file():
            value = load_checkpoint(path).get("metrics", {}).get(self.monitor_metric_key)
            if value is not None and self._better(value):
                self.best_value = value
        if trainer.val_results.get("step") == trainer.step:  # just made up for by Validation
            self._save_if_best(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        self._save_if_best(trainer)
        if self.interval.due_after_step(trainer):
            self._save(trainer, "last")

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._save_if_best(trainer)
        if self.interval.due_after_epoch(trainer) and trainer.step_in_epoch == 0:
            self._save(trainer, "last")
            if self.keep_epochs:
                self._save(trainer, f"epoch-{trainer.epoch - 1:04d}")

    def on_loop_end(self, trainer: Trainer) -> None:
        if self.save_on_train_end:
            self._save(trainer, "last")
        if self.best_value is None and (self.monitor_metric_key is None or not trainer.val_results):
            self._save(trainer, "best")

    def on_interrupt(self, trainer: Trainer, error: Interrupted) -> None:
        if trainer.step == 0:
            error.note = "no step was finished; run the same command again"
            return
        self._save(trainer, "last")
        error.note = (
            f"saved {self._path('last')} {trainer.run_length.position(trainer.step)}; run the same "
            "command with --resume to continue"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "judged_step": self._judged_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_value = state.get("best_value")
        self._judged_step = state.get("judged_step", -1.0)

    def _path(self, which: str) -> Path:
        return self.save_dir / f"{self.name_prefix}checkpoint-{which}.pth.tar"

    def _save_if_best(self, trainer: Trainer) -> None:
        """Judge the newest validation, once."""
        results = trainer.val_results
        if not results or results["step"] == self._judged_step or self.monitor_metric_key is None:
            return
        self._judged_step = results["step"]
        value = results.get(self.monitor_metric_key)
        if value is None:
            message = (
                f"Checkpoint: no metric {self.monitor_metric_key!r} to choose the best by; "
                f"validation gives {', '.join(results)}"
            )
            if self.strict_match:
                raise InputError(message)
            logger.warning("%s. The last checkpoint counts as the best.", message)
        elif not math.isfinite(value) or not self._better(value):
            return
        else:
            self.best_value = value
        self._save(trainer, "best")

    def _better(self, value: float) -> bool:
        if self.best_value is None:
            return True
        return value < self.best_value if self.mode == "min" else value > self.best_value

    def _save(self, trainer: Trainer, which: str) -> None:
        if not distributed.is_main():
            return
        content: dict[str, Any] = {
            "stage": trainer.stage or self.name_prefix.rstrip("-"),
            "epoch": trainer.epoch,
            "step": trainer.step,
            "metrics": dict(trainer.val_results),
            **model_content(trainer.eval_model),
        }
        state = {} if which == "best" else trainer.state_dict()
        if state:
            content["resume"] = state
        path = self._path(which)
        save_checkpoint(path, content)
        if which != "last":
            logger.info("Saved %s", path)


def check_best_metric(callbacks: Sequence[Callback], metrics: Sequence[Any]) -> None:
    """InputError if a callback chooses the best by a metric that no validation gives.

    Before any work, and before anything of an earlier run is replaced.
    """
    if any(isinstance(callback, Validation) for callback in callbacks):
        for callback in callbacks:
            if isinstance(callback, Checkpoint):
                callback.check_names(metrics)
