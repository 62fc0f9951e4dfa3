"""Learning-rate schedules with warm-up.

The rate of a step is a function of the step alone (in a run by minutes, of the time), so that a
resumed run needs no state. Each
parameter group keeps its own base rate (``initial_lr``) and all follow the same curve.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hat.engine.callbacks.base import Callback
from hat.registry import OBJECT_REGISTRY

if TYPE_CHECKING:
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer


class LrUpdater(Callback, ABC):
    """Sets the learning rate before each step.

    Args:
        warmup_by: unit of ``warmup_len``: "epoch", "step" or "fraction" (of the run).
        warmup_len: length of the warm-up; 0 has none.
        warmup_mode: "linear" rises from 0 to the base rate, "constant" stays at a tenth of it.
        step_log_interval: record the rate every so many steps.
    """

    def __init__(
        self,
        warmup_by: str = "step",
        warmup_len: float = 0,
        warmup_mode: str = "linear",
        step_log_interval: int = 100,
    ) -> None:
        if warmup_by not in ("epoch", "step", "fraction"):
            raise ValueError(
                f"warmup_by must be 'epoch', 'step' or 'fraction', found {warmup_by!r}"
            )
        if warmup_by == "fraction" and warmup_len > 1:
            raise ValueError(f"warmup_len is a fraction of the run, 0 to 1; found {warmup_len}")
        if warmup_mode not in ("linear", "constant"):
            raise ValueError(f"warmup_mode must be 'linear' or 'constant', found {warmup_mode!r}")
        if warmup_len < 0 or step_log_interval < 1:
            raise ValueError("warmup_len must be at least 0 and step_log_interval at least 1")
        self.warmup_by = warmup_by
        self.warmup_len = warmup_len
        self.warmup_mode = warmup_mode
        self.step_log_interval = step_log_interval

    @abstractmethod
    def factor(self, step: int, warmup: float, total: float, steps_per_epoch: int) -> float:
        """The curve after warm-up: base rate times this, at ``step`` of ``total``."""

    def lr_at(self, step: int, base: float, total: float, steps_per_epoch: int) -> float:
        """The learning rate of a group with base rate ``base`` at ``step``.

        Args:
            total: steps of the run; by minutes they change with its pace, and the curve with them.
        """
        if self.warmup_by == "fraction":
            warmup = self.warmup_len * total if self.warmup_len else 0.0
        else:
            unit = steps_per_epoch if self.warmup_by == "epoch" else 1
            warmup = min(round(self.warmup_len * unit), total)
        if step < warmup:
            return base * ((step + 1) / warmup if self.warmup_mode == "linear" else 0.1)
        return base * self.factor(step, warmup, total, steps_per_epoch)

    def on_step_begin(self, trainer: Trainer) -> None:
        for group in trainer.optimizer.param_groups:
            base = group.setdefault("initial_lr", group["lr"])
            group["lr"] = self.lr_at(
                trainer.step, base, trainer.total_steps, trainer.steps_per_epoch
            )

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step % self.step_log_interval == 0:
            trainer.record({"lr": trainer.optimizer.param_groups[0]["lr"]})


@OBJECT_REGISTRY.register
class CosLrUpdater(LrUpdater):
    """Half a cosine from the base rate to ``stop_lr`` (a part of the base rate) at the end.

    Source: Loshchilov and Hutter, "SGDR", without restarts. ``max_steps`` ends the curve earlier.
    """

    def __init__(
        self,
        warmup_by: str = "step",
        warmup_len: float = 0,
        warmup_mode: str = "linear",
        step_log_interval: int = 100,
        stop_lr: float = 0.0,
        max_steps: int | None = None,
    ) -> None:
        super().__init__(warmup_by, warmup_len, warmup_mode, step_log_interval)
        if not 0.0 <= stop_lr <= 1.0:
            raise ValueError(f"stop_lr is a part of the base rate, 0 to 1; found {stop_lr}")
        self.stop_lr = stop_lr
        self.max_steps = max_steps

    def factor(self, step: int, warmup: float, total: float, steps_per_epoch: int) -> float:
        progress = _progress(step, warmup, self.max_steps or total)
        return self.stop_lr + (1.0 - self.stop_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))


@OBJECT_REGISTRY.register
class PolyLrUpdater(LrUpdater):
    """``(1 - progress) ** power`` from the base rate to ``stop_lr`` (a part of the base rate)."""

    def __init__(
        self,
        power: float = 1.0,
        warmup_by: str = "step",
        warmup_len: float = 0,
        warmup_mode: str = "linear",
        step_log_interval: int = 100,
        stop_lr: float = 0.0,
        max_steps: int | None = None,
    ) -> None:
        super().__init__(warmup_by, warmup_len, warmup_mode, step_log_interval)
        if power <= 0.0:
            raise ValueError(f"power must be positive, found {power}")
        self.power = power
        self.stop_lr = stop_lr
        self.max_steps = max_steps

    def factor(self, step: int, warmup: float, total: float, steps_per_epoch: int) -> float:
        progress = _progress(step, warmup, self.max_steps or total)
        return self.stop_lr + (1.0 - self.stop_lr) * (1.0 - progress) ** self.power


@OBJECT_REGISTRY.register(name="StepLrUpdater")
@OBJECT_REGISTRY.register
class StepDecayLrUpdater(LrUpdater):
    """Multiplies the rate by ``lr_decay_factor`` at each epoch (or step) of ``lr_decay_id``."""

    def __init__(
        self,
        lr_decay_id: Sequence[int],
        lr_decay_factor: float = 0.1,
        update_by: str = "epoch",
        warmup_by: str = "step",
        warmup_len: float = 0,
        warmup_mode: str = "linear",
        step_log_interval: int = 100,
    ) -> None:
        super().__init__(warmup_by, warmup_len, warmup_mode, step_log_interval)
        if update_by not in ("epoch", "step"):
            raise ValueError(f"update_by must be 'epoch' or 'step', found {update_by!r}")
        if not 0.0 < lr_decay_factor < 1.0:
            raise ValueError(f"lr_decay_factor must lie between 0 and 1, found {lr_decay_factor}")
        self.lr_decay_id = sorted(lr_decay_id)
        self.lr_decay_factor = lr_decay_factor
        self.update_by = update_by

    def factor(self, step: int, warmup: float, total: float, steps_per_epoch: int) -> float:
        position = step // steps_per_epoch if self.update_by == "epoch" else step
        return self.lr_decay_factor ** sum(position >= mark for mark in self.lr_decay_id)


def _progress(step: int, warmup: float, total: float) -> float:
    return min(1.0, (step - warmup) / max(1, total - warmup))
