"""Evaluation of a trained model on data sets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from hat.engine import distributed
from hat.engine.convert import ModelConvertPipeline, freeze_scales
from hat.engine.data_loading import build_eval_loader
from hat.engine.evaluate import evaluate, metric_update
from hat.engine.processors import BatchProcessor
from hat.engine.subset_metrics import SubsetMetrics
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, Component

logger = logging.getLogger(__name__)


@OBJECT_REGISTRY.register
class Predictor:
    """Computes metrics of a model on one or more data sets.

    Args:
        data_loader: config of a data loader, or a list of them.
        batch_processor: with need_grad_update=False.
        model: the model; None where the pipeline brings one along (LoadIntegerModel).
        device: None takes the process's own device.
        model_convert_pipeline: loads the weights (and converts the model).
        callbacks: those with a ``metric_update_func`` say how metrics are updated.
        metrics: what to compute.
        log_interval: log every so many batches; a terminal shows a progress bar besides.

    Attributes:
        subsets: after :meth:`fit`, the metrics of each data set's parts (Sintel's passes) by name;
            empty for a data set in one part.
    """

    deferred_args = ("data_loader",)

    def __init__(
        self,
        data_loader: Component | Sequence[Any],
        batch_processor: BatchProcessor,
        model: nn.Module | None = None,
        device: torch.device | str | int | None = None,
        model_convert_pipeline: ModelConvertPipeline | None = None,
        callbacks: Sequence[Any] = (),
        metrics: Sequence[Any] = (),
        log_interval: int = 50,
    ) -> None:
        if log_interval < 1:
            raise ValueError(f"log_interval must be at least 1, found {log_interval}")
        self.device = torch.device(device if device is not None else distributed.default_device())
        pipeline = model_convert_pipeline or ModelConvertPipeline()
        self.model = pipeline(model).to(self.device).eval()
        freeze_scales(self.model)
        loaders = [data_loader] if isinstance(data_loader, Component) else list(data_loader)
        self.loaders = [build_eval_loader(loader, by_size=True) for loader in loaders]
        self.batch_processor = batch_processor
        self.update = metric_update(callbacks)
        self.metrics = [metric.to(self.device) for metric in metrics]
        self.log_interval = log_interval
        self.subsets: list[dict[str, dict[str, float]]] = []

    def fit(self, write: Callable[[int, dict, Any], None] | None = None) -> list[dict[str, float]]:
        """The metrics of each data set, in the order of the loaders; none without true flow.

        Args:
            write: called with the number of the data set, each batch and the network's outputs.

        Raises:
            InputError: a data set has no true flow, and ``write`` is not given.
        """
        self.subsets = []
        return [self._evaluate(number, write) for number in range(len(self.loaders))]

    def _evaluate(
        self, number: int, write: Callable[[int, dict, Any], None] | None
    ) -> dict[str, float]:
        loader = self.loaders[number]
        has_truth = getattr(loader.dataset, "has_truth", True)
        if not has_truth and write is None:
            raise InputError(
                f"{getattr(loader.dataset, 'data_path', number)}: this part of the data set has no "
                "true flow, so that there are no metrics; predict --submission DIR writes what "
                "the benchmarks of Sintel and KITTI take, infer the flow of any images"
            )
        subsets = SubsetMetrics(self.metrics, loader.dataset, self.update)

        def update(metrics: Sequence[Any], batch: dict, outputs: Any) -> None:
            if write is not None:
                write(number, batch, outputs)
            if has_truth:
                subsets.update(metrics, batch, outputs)

        results = evaluate(
            self.model,
            loader,
            self.batch_processor,
            self.metrics,
            self.device,
            update=update,
            progress=self._progress,
        )
        self.subsets.append(subsets.results() if has_truth else {})
        return results if has_truth else {}

    def _progress(self, batches: Iterable) -> Iterable:
        total = len(batches)  # type: ignore[arg-type]
        bar = tqdm(batches, unit="batch", disable=None if distributed.is_main() else True)
        for number, batch in enumerate(bar, start=1):
            yield batch
            if distributed.is_main() and number % self.log_interval == 0:
                logger.info("Batch %d of %d", number, total)
