"""The stage int_infer: conversion to the integer program."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hat.engine import distributed
from hat.engine.callbacks.base import Callback
from hat.engine.convert import ModelConvertPipeline
from hat.engine.single_pass import SinglePass
from hat.registry import OBJECT_REGISTRY
from horizon.quantization import IntegerModel

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register
class IntInferTrainer(SinglePass):
    """Converts a trained model and says what the program consists of; nothing is trained any more.

    The callbacks see one epoch with the program finished: Validation evaluates it and Checkpoint
    saves it.

    Args:
        model: the float model that the pipeline starts from.
        model_convert_pipeline: ends with an integer model (QAT2Quantize).
        device: None takes the process's own device.
        callbacks: see above.
        val_metrics: metrics that Validation fills.

    Raises:
        InputError: the program breaks the fixed-point contract; the layer is named.
    """

    model: IntegerModel

    def __init__(
        self,
        model: nn.Module | None = None,
        model_convert_pipeline: ModelConvertPipeline | None = None,
        device: torch.device | str | int | None = None,
        callbacks: Sequence[Callback] = (),
        val_metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__(model, model_convert_pipeline, device, callbacks, val_metrics)
        if not isinstance(self.model, IntegerModel):
            raise ValueError(
                "the pipeline must end with QAT2Quantize or LoadIntegerModel; it gives a "
                f"{type(self.model).__name__}"
            )

    @property
    def length(self) -> str:
        return f"{len(self.model.graph.nodes)} operations"

    def run(self) -> None:
        if distributed.is_main():
            for line in self.model.summary().splitlines():
                logger.info("%s", line)
