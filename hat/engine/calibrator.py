"""Calibration: real images through the float model, to choose every activation's scale."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from tqdm import tqdm

from hat import interruption
from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.engine.convert import ModelConvertPipeline
from hat.engine.data_loading import batches, build_train_loader, set_epoch
from hat.engine.processors import BatchProcessor
from hat.engine.single_pass import SinglePass
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, Component
from horizon.quantization import FakeQuantState, convert, finish_calibration, set_fake_quantize
from horizon.quantization.scales.input_range import CLIPPED

if TYPE_CHECKING:
    from hat.engine.pipeline_test import PipelineTest

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register
class Calibrator(SinglePass):
    """Shows batches to a model in calibration state, then fixes the scales.

    The callbacks are called before the first batch and after the last one, when the scales are
    fixed: Validation evaluates and Checkpoint saves the calibrated model. StatsMonitor logs during
    the calibration as well.

    Args:
        model: the float model.
        model_convert_pipeline: loads its weights and prepares it (Float2Calibration).
        data_loader: config of a data loader; usually the training set without augmentation. The
            order depends on ``seed`` alone; several processes share the samples.
        batch_processor: with need_grad_update=False.
        num_steps: number of batches per process; all of the data set if it has fewer.
        device: None takes the process's own device.
        callbacks: see above.
        val_metrics: metrics that Validation fills.
        log_interval: log every so many batches.
        seed: order of the samples where the loader shuffles.
        max_clipped_input: the share of the input, from 0 to 1, that may lie beyond the range of its
            fixed scale; what does is clipped in fixed point. 1 only warns.

    Raises:
        InputError: more of the input is clipped, or the loader gave no batch.
    """

    deferred_args = ("data_loader",)

    def __init__(
        self,
        model: nn.Module,
        data_loader: Component,
        batch_processor: BatchProcessor,
        num_steps: int,
        model_convert_pipeline: ModelConvertPipeline | None = None,
        device: torch.device | str | int | None = None,
        callbacks: Sequence[Callback] = (),
        val_metrics: Sequence[Any] = (),
        log_interval: int = 10,
        seed: int = 0,
        max_clipped_input: float = CLIPPED,
    ) -> None:
        if num_steps < 1 or log_interval < 1:
            raise ValueError(
                f"num_steps and log_interval must be at least 1, found {num_steps}, {log_interval}"
            )
        if not 0 <= max_clipped_input <= 1:
            raise ValueError(
                f"max_clipped_input is a share, from 0 to 1, found {max_clipped_input!r}"
            )
        super().__init__(model, model_convert_pipeline, device, callbacks, val_metrics)
        self.loader, self._sampler = build_train_loader(data_loader, seed)
        self.batch_processor = batch_processor
        self.num_steps = min(num_steps, len(self.loader))
        if self.num_steps < num_steps:
            logger.warning(
                "%s: %d batches in the data set, fewer than num_steps=%d; all are used",
                data_loader.path,
                self.num_steps,
                num_steps,
            )
        self.log_interval = log_interval
        self.seed = seed
        self.max_clipped_input = max_clipped_input

    @staticmethod
    def for_pipeline_test(arguments: dict[str, Any], test: PipelineTest) -> dict[str, Any]:
        return {**arguments, "num_steps": test.steps}

    @property
    def length(self) -> str:
        return f"{self.num_steps} batches"

    def run(self) -> None:
        set_fake_quantize(self.model, FakeQuantState.CALIBRATION)
        set_epoch(self.loader, self._sampler, 0)
        hidden = None if distributed.is_main() else True
        bar = tqdm(total=self.num_steps, unit="batch", disable=hidden)
        # no_grad and not inference_mode: what the observers keep is used in training later
        with torch.no_grad(), bar, interruption.watched():
            before = time.perf_counter()
            for batch in batches(self.loader):
                self.seconds_waiting += time.perf_counter() - before
                interruption.stop_if_requested(self.device)
                prepared = self.batch_processor.prepare(batch, self.device)
                self.batch_processor.forward(self.model, prepared, self.device)
                self.step += 1
                bar.update(1)
                if distributed.is_main() and self.step % self.log_interval == 0:
                    logger.info("Calibrated on batch %d of %d", self.step, self.num_steps)
                self._call("on_calibration_step")
                if self.step >= self.num_steps:
                    break
                before = time.perf_counter()
        if self.step < self.num_steps:
            logger.warning(
                "the data loader gave %d batches, fewer than the %d it promised",
                self.step,
                self.num_steps,
            )
        finish_calibration(self.model, self.max_clipped_input)
        self._try_conversion()

    def _try_conversion(self) -> None:
        """Say now what would keep the stage int_infer from converting the model."""
        if not hasattr(self.model, "example_input") or not distributed.is_main():
            return
        try:
            convert(self.model)
        except InputError as error:
            logger.warning("the stage int_infer could not convert this model: %s", error)
