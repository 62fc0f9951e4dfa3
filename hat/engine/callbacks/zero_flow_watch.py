"""Notices a network that is stuck at predicting no motion.

PWC-Net has a bad minimum in which every flow is close to zero and the end-point error equals the
mean length of the true flow. The loss then looks stable, and nothing else says that the network has
learnt nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.registry import OBJECT_REGISTRY

if TYPE_CHECKING:
    from hat.engine.trainer import DistributedDataParallelTrainer as Trainer

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register
class ZeroFlowWatch(Callback):
    """Warns if the predictions are hardly longer, or hardly better, than zero flow.

    Args:
        first_step: look from this step on; an untrained network starts near zero flow.
        window: number of looked-at steps that a judgement is made over.
        every: look at every so many steps.
        tolerance: stuck means an end-point error above (1 - tolerance) of the true flow's mean
            length together with predictions below ``tolerance`` of that length.
    """

    def __init__(
        self, first_step: int = 1000, window: int = 50, every: int = 10, tolerance: float = 0.05
    ) -> None:
        if min(window, every) < 1 or not 0.0 < tolerance < 1.0:
            raise ValueError("window and every must be at least 1, tolerance between 0 and 1")
        self.first_step = first_step
        self.window = window
        self.every = every
        self.tolerance = tolerance
        self.stuck = False
        self._sums = [0.0, 0.0, 0.0]
        self._count = 0

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step < self.first_step or trainer.step % self.every:
            return
        outputs, truth = trainer.outputs, trainer.batch.get("gt_flow_levels")
        if not isinstance(outputs, dict) or not truth or trainer.updater.skipped_in_a_row:
            return
        flow, finest = outputs["pred_flows"].detach().float(), truth[0].float()
        self._sums[0] += float((flow - finest).norm(dim=1).mean())
        self._sums[1] += float(flow.norm(dim=1).mean())
        self._sums[2] += float(finest.norm(dim=1).mean())
        self._count += 1
        if self._count == self.window:
            self._judge(trainer)
            self._sums, self._count = [0.0, 0.0, 0.0], 0

    def _judge(self, trainer: Trainer) -> None:
        error, predicted, true = (value / self.window for value in self._sums)
        self.stuck = error > (1.0 - self.tolerance) * true and predicted < self.tolerance * true
        if self.stuck and distributed.is_main():
            logger.warning(
                "Step %d: the network predicts zero flow (end-point error %.2f px, mean true flow "
                "%.2f px, mean prediction %.3f px): a known bad minimum of PWC-Net. It rarely "
                "leaves it; start again with another seed (--opts seed %d), a lower learning rate "
                "or a longer warm-up.",
                trainer.step,
                error,
                true,
                predicted,
                trainer.seed + 1,
            )
