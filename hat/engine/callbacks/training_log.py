"""Keeps the values of a run: JSON lines for scripts, TensorBoard for people."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from hat.data.files import json_text, write_file
from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.registry import OBJECT_REGISTRY
from hat.run_log import not_written, read_log

if TYPE_CHECKING:
    import numpy as np

    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer


@OBJECT_REGISTRY.register
class TrainingLog(Callback):
    """Writes recorded values to ``{save_dir}/{name_prefix}log.jsonl`` and to TensorBoard.

    A resumed run continues both files; lines of steps that are run again are dropped first.
    """

    def __init__(self, save_dir: str | Path, name_prefix: str = "") -> None:
        self.save_dir = Path(save_dir)
        self.path = self.save_dir / f"{name_prefix}log.jsonl"
        self.tensorboard_dir = self.save_dir / "tensorboard" / (name_prefix.rstrip("-") or "run")
        self._writer: Any = None

    def on_loop_begin(self, trainer: Trainer) -> None:
        self._open(trainer)

    def _open(self, trainer: Trainer) -> None:
        """Open both files, once; the first values may come before this callback's turn to begin."""
        if self._writer is not None or not distributed.is_main():
            return
        self.save_dir.mkdir(parents=True, exist_ok=True)
        resumed = trainer.step > 0 and self.path.is_file() and self.path.stat().st_size > 0
        kept = read_log(self.path) if resumed else []
        lines = [json_text(line) + "\n" for line in kept if line["step"] <= trainer.step]
        write_file(self.path, "".join(lines).encode())
        self._writer = SummaryWriter(str(self.tensorboard_dir), purge_step=trainer.step + 1)

    def on_scalars(self, trainer: Trainer, scalars: dict[str, float]) -> None:
        if not distributed.is_main():
            return
        self._open(trainer)
        line = {"step": trainer.step, "epoch": trainer.epoch, "time": round(time.time(), 1)}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json_text({**line, **scalars}) + "\n")
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, trainer.step)
        except OSError as error:
            raise not_written(self.path, error) from error

    def on_pictures(self, trainer: Trainer, pictures: dict[str, np.ndarray]) -> None:
        if not distributed.is_main():
            return
        self._open(trainer)
        try:
            for name, picture in pictures.items():
                self._writer.add_image(name, picture, trainer.step, dataformats="HWC")
        except OSError as error:
            raise not_written(self.tensorboard_dir, error) from error

    def on_loop_end(self, trainer: Trainer) -> None:
        if self._writer is not None:
            self._writer.close()


@OBJECT_REGISTRY.register
class ProgressBar(Callback):
    """A progress bar over all steps of the run, with the loss of the last log line."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_loop_begin(self, trainer: Trainer) -> None:
        if distributed.is_main():
            total = None if trainer.run_length.by_time else trainer.total_steps
            self._bar = tqdm(total=total, initial=trainer.step, unit="step", dynamic_ncols=True)

    def on_step_end(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_scalars(self, trainer: Trainer, scalars: dict[str, float]) -> None:
        wanted = {k.split("/")[-1]: v for k, v in scalars.items() if k.endswith(("/loss", "/EPE"))}
        if self._bar is not None and wanted:
            self._bar.set_postfix({name: f"{value:.3f}" for name, value in wanted.items()})

    def on_loop_end(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.close()
