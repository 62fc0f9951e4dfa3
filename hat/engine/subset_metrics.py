"""Metrics of the parts of a data set, such as Sintel's passes, beside those of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

__all__ = ["SubsetMetrics"]

Update = Callable[[Sequence[Any], dict, Any], None]


class SubsetMetrics:
    """A metric update that fills the given metrics, and copies of them for each subset.

    A data set with ``subsets``, a list of names, and ``subset_of(img_id)`` says what belongs
    together; without them, or with a single one, nothing is added.

    Args:
        metrics: what to compute; copies are filled.
        dataset: of the batches.
        update: adds a batch to metrics.
    """

    def __init__(self, metrics: Sequence[Any], dataset: Any, update: Update) -> None:
        names = list(getattr(dataset, "subsets", ()))
        self._dataset, self._update = dataset, update
        # Of all names in every process, so that all of them reduce the same metrics.
        self._metrics = (
            {name: [metric.clone() for metric in metrics] for name in names}
            if len(names) > 1
            else {}
        )
        for copies in self._metrics.values():
            for metric in copies:
                metric.reset()

    def update(self, metrics: Sequence[Any], batch: dict, outputs: Any) -> None:
        """Add a batch to ``metrics`` and to those of its subsets."""
        self._update(metrics, batch, outputs)
        if not self._metrics:
            return
        rows: dict[str, list[int]] = {}
        for row, number in enumerate(batch["img_id"]):
            rows.setdefault(self._dataset.subset_of(int(number)), []).append(row)
        count = len(batch["img_id"])
        for name, chosen in rows.items():
            self._update(
                self._metrics[name], _rows(batch, chosen, count), _rows(outputs, chosen, count)
            )

    def results(self) -> dict[str, dict[str, float]]:
        """The metrics' results by subset; empty where there is only one."""
        found: dict[str, dict[str, float]] = {}
        for name, metrics in self._metrics.items():
            found[name] = {}
            for metric in metrics:
                found[name].update(metric.results())
        return found


def _rows(value: Any, rows: list[int], count: int) -> Any:
    """``value`` with only the entries ``rows`` of every tensor and list of ``count`` entries."""
    if len(rows) == count:
        return value
    if isinstance(value, torch.Tensor):
        return value[rows] if value.ndim and len(value) == count else value
    if isinstance(value, Mapping):
        return {key: _rows(item, rows, count) for key, item in value.items()}
    if isinstance(value, list) and len(value) == count:
        return [value[row] for row in rows]
    return value
