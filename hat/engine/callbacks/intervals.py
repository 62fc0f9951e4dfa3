"""Every so many epochs, steps or minutes of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer

UNITS = ("epoch", "step", "minutes")


class Interval:
    """When something that comes back is due.

    Args:
        length: a whole number of epochs or steps, or a number of minutes above 0.
        unit: "epoch", "step" or "minutes" (of the run's clock).
        names: of both in the callback, for messages.
    """

    def __init__(self, length: float, unit: str, names: tuple[str, str]) -> None:
        if unit not in UNITS:
            raise ValueError(f"{names[1]} must be 'epoch', 'step' or 'minutes', found {unit!r}")
        if unit == "minutes":
            if not length > 0:
                raise ValueError(f"{names[0]} in minutes must be above 0, found {length}")
        elif length < 1 or length != int(length):
            raise ValueError(f"{names[0]} must be at least 1, found {length}")
        self.length, self.unit = length, unit
        self._last = 0

    def begin(self, trainer: Trainer) -> None:
        """The loop begins; what was due in an earlier sitting is not due again."""
        self._last = self._minutes(trainer)

    def due_after_step(self, trainer: Trainer) -> bool:
        if self.unit == "minutes":
            before, self._last = self._last, self._minutes(trainer)
            return self._last > before
        return self.unit == "step" and trainer.step % self.length == 0

    def due_after_epoch(self, trainer: Trainer) -> bool:
        return self.unit == "epoch" and trainer.epoch % self.length == 0

    def _minutes(self, trainer: Trainer) -> int:
        return int(trainer.seconds // (60 * self.length))
