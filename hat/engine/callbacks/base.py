"""What a callback can hook into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer


class Callback:
    """Base of all callbacks: override the moments that matter.

    ``state_dict`` and ``load_state_dict`` carry what a resumed run needs (plain values only).
    """

    def on_loop_begin(self, trainer: Trainer) -> None: ...

    def on_epoch_begin(self, trainer: Trainer) -> None: ...

    def on_step_begin(self, trainer: Trainer) -> None: ...

    def on_step_end(self, trainer: Trainer) -> None: ...

    def on_epoch_end(self, trainer: Trainer) -> None: ...

    def on_loop_end(self, trainer: Trainer) -> None: ...

    def on_scalars(self, trainer: Trainer, scalars: dict[str, float]) -> None:
        """Values that another callback has recorded with ``trainer.record``."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
