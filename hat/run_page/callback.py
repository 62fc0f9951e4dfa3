"""Writes the page of a run's folder while it trains."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hat.data.files import write_file
from hat.engine import distributed
from hat.engine.callbacks import Callback
from hat.engine.run_folder import pictures_folder, report_path
from hat.engine.samples import Sample
from hat.errors import InputError
from hat.run_page.folder import Going, page_of_folder
from hat.run_page.pictures import drop_pictures_after, figure, write_pictures

if TYPE_CHECKING:
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer
    from hat.interruption import Interrupted

logger = logging.getLogger(__name__)

PICTURE_SETS = 48  # of a whole run, so that files stay small however often it validates
LEAST_SECONDS, LARGEST_SHARE = 20.0, 0.01  # between two writings; of the time spent on them


def planned_steps(trainer: Trainer) -> int:
    """All steps of the run; 0 while a run by minutes has no pace to tell them from."""
    return round(trainer.total_steps) if math.isfinite(trainer.total_steps) else 0


class RunPage(Callback):
    """Keeps ``report.html`` of the folder ``ckpt_dir`` up to date, and draws pairs of validations.

    The pictures go to the page and, by ``trainer.record_pictures``, to TensorBoard. A page that
    cannot be written is a warning and does not end the training.
    """

    def __init__(self, ckpt_dir: str | Path, stage: str, title: str) -> None:
        self.folder, self.stage, self.title = Path(ckpt_dir), stage, title
        self._pictures = pictures_folder(self.folder, stage)
        self._next_step = -1
        self._next_time = 0.0
        self._started = (0.0, 0)  # when, at which step
        self._warned = False

    def on_loop_begin(self, trainer: Trainer) -> None:
        if not distributed.is_main():
            return
        self._started = (time.monotonic(), trainer.step)
        drop_pictures_after(self._pictures, trainer.step)
        self._write(trainer)

    def on_scalars(self, trainer: Trainer, scalars: dict[str, float]) -> None:
        if distributed.is_main() and time.monotonic() >= self._next_time:
            self._write(trainer)

    def on_samples(self, trainer: Trainer, samples: Sequence[Sample]) -> None:
        if not samples or (trainer.step < self._next_step and not trainer.finished):
            return
        self._next_step = trainer.step + max(1, planned_steps(trainer) // PICTURE_SETS)
        figures = [figure(sample) for sample in samples]
        self._safely(lambda: write_pictures(self._pictures, trainer.step, samples, figures))
        trainer.record_pictures(
            {f"val/pair {number}": picture for number, picture in enumerate(figures, 1)}
        )
        if time.monotonic() >= self._next_time:
            self._write(trainer)

    def on_loop_end(self, trainer: Trainer) -> None:
        if distributed.is_main():
            self._write(trainer, "finished")

    def on_interrupt(self, trainer: Trainer, error: Interrupted) -> None:
        if distributed.is_main():
            self._write(trainer, "interrupted")

    def _write(self, trainer: Trainer, state: str = "running") -> None:
        started = time.monotonic()
        since, first = self._started
        going = Going(
            stage=self.stage,
            state=state,
            step=trainer.step,
            total=planned_steps(trainer),
            speed=(trainer.step - first) / max(started - since, 1e-9),
        )
        self._safely(
            lambda: write_file(
                report_path(self.folder), page_of_folder(self.folder, self.title, going).encode()
            )
        )
        now = time.monotonic()
        self._next_time = now + max(LEAST_SECONDS, (now - started) / LARGEST_SHARE)

    def _safely(self, write: Callable[[], None]) -> None:
        try:
            write()
        except (InputError, OSError) as error:
            if not self._warned:
                self._warned = True
                logger.warning("The run's page is not up to date: %s", error)
