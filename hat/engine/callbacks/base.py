"""What a callback can hook into."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hat.engine import distributed
from hat.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from hat.engine.calibrator import Calibrator
    from hat.engine.samples import Sample
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer
    from hat.interruption import Interrupted

logger = logging.getLogger(__name__)


class Callback:
    """Base of all callbacks: override the moments that matter.

    ``state_dict`` and ``load_state_dict`` carry what a resumed run needs (plain values only).

    Attributes:
        by_minutes: it acts by the run's clock, which several processes then have to agree on.
    """

    by_minutes = False

    def on_loop_begin(self, trainer: Trainer) -> None: ...

    def on_epoch_begin(self, trainer: Trainer) -> None: ...

    def on_step_begin(self, trainer: Trainer) -> None: ...

    def on_step_end(self, trainer: Trainer) -> None: ...

    def on_calibration_step(self, trainer: Calibrator) -> None:
        """After each batch of a calibration, which has none of the moments of a training step."""

    def on_epoch_end(self, trainer: Trainer) -> None: ...

    def on_loop_end(self, trainer: Trainer) -> None: ...

    def on_interrupt(self, trainer: Trainer, error: Interrupted) -> None:
        """A signal ends the run between two steps; ``error.note`` is for the user to read."""

    def on_scalars(self, trainer: Trainer, scalars: dict[str, float]) -> None:
        """Values that another callback has recorded with ``trainer.record``."""

    def on_samples(self, trainer: Trainer, samples: Sequence[Sample]) -> None:
        """The first pairs of a validation with their flow; in the main process, else none."""

    def on_pictures(self, trainer: Trainer, pictures: dict[str, np.ndarray]) -> None:
        """Pictures, uint8 RGB (H, W, 3), that another callback has drawn, by name."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def callback_states(callbacks: Sequence[Callback]) -> dict[str, dict[str, Any]]:
    """The state of each callback that has one, by its name."""
    states = {name: callback.state_dict() for name, callback in _named(callbacks).items()}
    return {name: state for name, state in states.items() if state}


def restore_callbacks(
    callbacks: Sequence[Callback], states: dict[str, dict[str, Any]] | list[dict[str, Any]]
) -> None:
    """Give each callback the state that was saved under its name.

    A state that no callback takes, and a callback that finds none, are logged as warnings.

    Raises:
        InputError: states without names (files of version 0.1.0) of another number of callbacks.
    """
    own = _named(callbacks)
    if isinstance(states, list):
        added = list(own.values())[len(states) :]  # those of a later version have no past
        if len(states) > len(own) or any(callback.state_dict() for callback in added):
            raise InputError(
                f"callbacks: the run that is resumed has {len(states)}, this one has {len(own)}, "
                "and the checkpoint does not name them; resume with the callbacks of the run"
            )
        states = {name: state for name, state in zip(own, states, strict=False) if state}
    for name, callback in own.items():
        if name in states:
            callback.load_state_dict(states[name])
        elif callback.state_dict() and distributed.is_main():
            logger.warning(
                "Callback %s: not in the run that is resumed; it starts without a past", name
            )
    for name in states:
        if name not in own and distributed.is_main():
            logger.warning(
                "Callback %s: in the run that is resumed, not in this config; what it knew is lost",
                name,
            )


def _named(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """Callbacks by the names of their classes; further ones of a class are numbered from 2."""
    named: dict[str, Callback] = {}
    for callback in callbacks:
        name, number = type(callback).__name__, 1
        while (key := name if number == 1 else f"{name} {number}") in named:
            number += 1
        named[key] = callback
    return named
