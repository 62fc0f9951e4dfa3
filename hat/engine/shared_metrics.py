"""Metrics of several predictions that are mostly the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from hat.engine.evaluate import update_flow_metrics


class SharedMetrics:
    """The same metrics of several flows, computed once for flows that have always been equal.

    Args:
        metrics: what to compute; copies are filled.
    """

    def __init__(self, metrics: Sequence[Any]) -> None:
        self._metrics = metrics
        self._groups: list[tuple[list[str], list[Any]]] = []

    def update(self, batch: dict[str, Any], flows: dict[str, Tensor]) -> None:
        """Add a batch; flows that are the same tensor are the same flow."""
        if not self._groups:
            self._groups = [(list(flows), [metric.clone() for metric in self._metrics])]
        groups = []
        for names, metrics in self._groups:
            parts: dict[int, list[str]] = {}
            for name in names:
                parts.setdefault(id(flows[name]), []).append(name)
            copies = [metrics, *([m.clone() for m in metrics] for _ in range(len(parts) - 1))]
            groups += list(zip(parts.values(), copies, strict=True))
        self._groups = groups
        for names, metrics in groups:
            update_flow_metrics(metrics, batch, flows[names[0]])

    def results(self) -> dict[str, dict[str, float]]:
        """The metrics' results by the name of the flow."""
        found = {}
        for names, metrics in self._groups:
            values: dict[str, float] = {}
            for metric in metrics:
                values.update(metric.results())
            found.update(dict.fromkeys(names, values))
        return found
