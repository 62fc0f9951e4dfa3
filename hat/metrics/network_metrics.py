"""Metrics of a user's own choice, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hat.errors import InputError
from hat.metrics.base import ResultMetric, ratio
from hat.own_functions import MISTAKES, refusal
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class NetworkMetrics(ResultMetric):
    """What the metrics of a network say, each under its name.

    Args:
        metrics: by name, either an object with ``update(outputs, *targets)``, ``compute()`` and
            ``reset()``, as torchmetrics has them, or a function ``(outputs, *targets)`` that gives
            the mean over the batch or a value for each sample, which is averaged over the samples.
        targets: keys of a batch that the metrics get behind the network's outputs.
    """

    def __init__(self, metrics: Mapping[str, Any], targets: Sequence[str] = ()) -> None:
        super().__init__()
        if not isinstance(metrics, Mapping) or not metrics:
            raise ValueError(
                f"found the metrics {metrics!r}; expected at least one by its name: set loss, or "
                "metrics = dict(accuracy=my_function), in the config"
            )
        self.targets = [targets] if isinstance(targets, str) else list(targets)
        self.by_name = {name: _metric(name, metric) for name, metric in metrics.items()}
        self.modules_of_metrics = nn.ModuleList(
            metric for metric in self.by_name.values() if isinstance(metric, nn.Module)
        )

    def update(self, batch: Mapping[str, Any], outputs: Any) -> None:
        """Add a batch and the network's outputs for it.

        Raises:
            InputError: a batch without a target, or values that a metric refuses.
        """
        missing = [name for name in self.targets if name not in batch]
        if missing:
            raise InputError(
                f"the batch has no {', '.join(missing)}, which targets names; it has: "
                f"{', '.join(map(str, batch))}"
            )
        targets = [batch[name] for name in self.targets]
        for name, metric in self.by_name.items():
            try:
                metric.update(outputs, *targets)
            except MISTAKES as error:
                text = refusal(f"metric {name}", outputs, targets, self.targets, error)
                raise InputError(text) from error

    def compute(self) -> dict[str, float]:
        """The values by name; of a metric with several, ``name/part``."""
        found: dict[str, float] = {}
        for name, metric in self.by_name.items():
            found.update(_named(name, metric.compute()))
        return found

    def reset(self) -> None:
        super().reset()
        for metric in self.by_name.values():
            metric.reset()

    def results(self) -> dict[str, float]:
        return dict(self.compute())

    def known_names(self) -> list[str]:
        return list(self.by_name)


class MeanOf(ResultMetric):
    """The mean of a function's values over all samples.

    Args:
        function: ``(outputs, *targets)`` to a scalar or (N,) values; several of them, as a loss may
            give, are added up.
    """

    total: Tensor
    samples: Tensor

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.add_sum("total")
        self.add_sum("samples")

    def update(self, outputs: Any, *targets: Any) -> None:
        with torch.no_grad():
            values = self.function(outputs, *targets)
        count = next(len(x) for x in tree_leaves(outputs) if isinstance(x, Tensor))
        for value in tree_leaves(values):
            number = torch.as_tensor(value).double().to(self.total.device)
            self.total += number.sum() if number.shape == (count,) else number.reshape(()) * count
        self.samples += count

    def compute(self) -> Tensor:
        return ratio(self.total, self.samples)

    def results(self) -> dict[str, float]:
        return {"mean": float(self.compute())}


def _metric(name: str, metric: Any) -> Any:
    if all(hasattr(metric, method) for method in ("update", "compute", "reset")):
        return metric
    if callable(metric):
        return MeanOf(metric)
    raise ValueError(
        f"metric {name}: found {metric!r}; expected a function of the outputs and targets, or an "
        "object with update(), compute() and reset()"
    )


def _named(name: str, value: Any) -> dict[str, float]:
    """Numbers by name of what a metric computes: a number, several, or a mapping of these."""
    if isinstance(value, Mapping):
        parts = {f"{name}/{part}": item for part, item in value.items()}
    elif isinstance(value, list | tuple) or (isinstance(value, Tensor) and value.numel() != 1):
        parts = {f"{name}/{index}": item for index, item in enumerate(value)}
    else:
        return {name: float(value)}
    found: dict[str, float] = {}
    for part, item in parts.items():
        found.update(_named(part, item))
    return found
