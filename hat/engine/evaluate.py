"""One pass over a data loader with metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any

import torch
from torch import nn

from hat import interruption
from hat.engine import distributed
from hat.engine.data_loading import batches
from hat.engine.processors import BatchProcessor
from hat.errors import InputError
from hat.metrics import NetworkMetrics


def update_flow_metrics(metrics: Sequence[Any], batch: dict, outputs: Any) -> None:
    """Update flow metrics with the full-resolution ground truth and the predicted flow.

    A metric with an attribute ``masks``, ``{argument: key of the batch}``, gets those as well, None
    where the batch has none.
    """
    labels = batch.get("gt_flow")
    if labels is None:
        raise InputError("the data set gives no 'gt_flow', and metrics need the true flow")
    flow = outputs["pred_flows"] if isinstance(outputs, dict) else outputs
    for metric in metrics:
        masks = {name: batch.get(key) for name, key in getattr(metric, "masks", {}).items()}
        metric.update(labels, flow, batch.get("gt_valid"), **masks)


def update_metrics(metrics: Sequence[Any], batch: dict, outputs: Any) -> None:
    """Update metrics with a batch: NetworkMetrics by their targets, all others as flow metrics."""
    own = [metric for metric in metrics if isinstance(metric, NetworkMetrics)]
    for metric in own:
        metric.update(batch, outputs)
    if len(own) < len(metrics):
        update_flow_metrics([m for m in metrics if m not in own], batch, outputs)


def update_training_metrics(metrics: Sequence[Any], batch: dict, model_outs: Any) -> None:
    """Update metrics in training, where a NetworkTask returns losses beside the outputs."""
    update_metrics(metrics, batch, model_outs["outputs"])


def metric_update(callbacks: Iterable[Any]) -> Callable[..., None]:
    """The ``metric_update_func`` of the first callback that has one, or the one above."""
    own = (c.metric_update_func for c in callbacks if hasattr(c, "metric_update_func"))
    return next(own, update_metrics)


def evaluate(
    model: nn.Module,
    loader: Iterable[dict],
    batch_processor: BatchProcessor,
    metrics: Sequence[Any],
    device: torch.device,
    update: Callable[..., None] = update_metrics,
    max_batches: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
    seen: Callable[[dict, Any], None] | None = None,
) -> dict[str, float]:
    """The metrics of ``model`` over ``loader``, over all processes. Leaves the model in eval mode.

    A batch may be a list of batches, of different image sizes.

    Args:
        seen: called with each batch, as the data set gives it, and the model's outputs.

    Raises:
        InputError: the loader is empty in every process.
        Interrupted: a signal has ended the pass, in all processes after the same batch.
    """
    model.eval()
    for metric in metrics:
        metric.reset()
    count = 0
    common = distributed.least(len(loader) if isinstance(loader, Sized) else 0, device)
    with interruption.watched():
        for number, batch in enumerate(batches(progress(loader))):
            if max_batches is not None and number >= max_batches:
                break
            if number < common:  # all processes have this batch, and ask
                interruption.stop_if_requested(device)
            for part in _of_one_size(batch):
                prepared, outputs = batch_processor.evaluate(model, part, device)
                update(metrics, prepared, outputs)
                if seen is not None:
                    seen(part, outputs)
            count += 1
    if distributed.everywhere(count == 0, device):
        raise InputError("nothing to evaluate: the data set is empty")
    results: dict[str, float] = {}
    for metric in metrics:
        results.update(metric.results())
    return results


def _of_one_size(batch: Any) -> list[Any]:
    """The batches of a list of batches; else the one batch that it is."""
    several = isinstance(batch, list) and all(isinstance(part, Mapping) for part in batch)
    return batch if several else [batch]
