"""What the stages without a training loop share: calibration and conversion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from hat import interruption
from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.engine.callbacks.checkpoint import check_best_metric
from hat.engine.convert import ModelConvertPipeline
from hat.engine.samples import Sample


class SinglePass(ABC):
    """Makes one model in one go, then lets the callbacks validate and save it.

    To a callback this is a trainer with one epoch: ``on_loop_begin``, then ``run``, then
    ``on_epoch_end`` and ``on_loop_end``. There is nothing to resume: running again from the same
    checkpoint gives the same result.
    """

    seed = 0
    total_steps = 0
    seconds = 0.0
    skipped_steps = 0
    seconds_waiting = 0.0

    def __init__(
        self,
        model: nn.Module | None,
        model_convert_pipeline: ModelConvertPipeline | None,
        device: torch.device | str | int | None,
        callbacks: Sequence[Callback],
        val_metrics: Sequence[Any],
    ) -> None:
        self.device = torch.device(device if device is not None else distributed.default_device())
        check_best_metric(callbacks, val_metrics)
        pipeline = model_convert_pipeline or ModelConvertPipeline()
        self.model = pipeline(model).to(self.device).eval()
        self.callbacks = list(callbacks)
        self.val_metrics = [metric.to(self.device) for metric in val_metrics]
        self.val_results: dict[str, float] = {}
        self.epoch = self.step = self.step_in_epoch = 0
        self.settings: dict[str, str] = {}
        self.stage = ""

    @abstractmethod
    def run(self) -> None:
        """Make the model."""

    @property
    @abstractmethod
    def length(self) -> str:
        """How much work there is, for the log."""

    @property
    def eval_model(self) -> nn.Module:
        return self.model

    @property
    def finished(self) -> bool:
        return self.epoch > 0

    def fit(self) -> None:
        """Make the model and hand it to the callbacks.

        Raises:
            Interrupted: by a signal, before anything was saved.
        """
        with interruption.advice("this stage saves at its end only; run the same command again"):
            self._call("on_loop_begin")
            self.run()
            self.epoch = 1
            self._call("on_epoch_end")
            self._call("on_loop_end")

    def record(self, scalars: dict[str, float]) -> None:
        """Hand named values to every callback that keeps or shows them."""
        self._call("on_scalars", scalars)

    def show(self, samples: Sequence[Sample]) -> None:
        """Hand pairs of a validation to every callback that draws them."""
        self._call("on_samples", samples)

    def record_pictures(self, pictures: dict[str, np.ndarray]) -> None:
        """Hand pictures, uint8 RGB, to every callback that keeps them."""
        self._call("on_pictures", pictures)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def _call(self, moment: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self, *arguments)
