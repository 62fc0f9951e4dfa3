"""The errors of a sequence's flows where the true flow is known."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Sequence

import numpy as np
import torch

from hat.metrics import FlowMetrics

COLUMNS = ("EPE", "1px", "3px", "5px", "Fl-all", "zero-flow EPE")
ALL = "all"
NAMED = 5  # pairs in a warning
SHOWN = 20  # rows of a table on the terminal; of more pairs, those with the largest errors


class Metrics:
    """:class:`hat.metrics.FlowMetrics` of each pair and of all; many threads may add."""

    def __init__(self) -> None:
        self._all = FlowMetrics()
        self._rows: dict[int, tuple[str, dict[str, float]]] = {}
        self._lock = threading.Lock()

    def add(
        self, number: int, name: str, flow: np.ndarray, gt_flow: np.ndarray, gt_valid: np.ndarray
    ) -> None:
        """Add a pair: flows (H, W, 2), px, and the mask (H, W) of the true one."""
        tensors = (
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(gt_flow, 2, 0)))[None],
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(flow, 2, 0)))[None],
            torch.from_numpy(gt_valid)[None, None],
        )
        one = FlowMetrics()
        one.update(*tensors)
        with self._lock:
            self._all.update(*tensors)
            self._rows[number] = (name, one.results())

    def __len__(self) -> int:
        return len(self._rows)

    def overall(self) -> dict[str, float]:
        """The metrics over all pairs."""
        return self._all.results()

    def warning(self) -> str | None:
        """What to say where a pair's true flow has no known pixel, so that it has no metrics."""
        rows = [self._rows[number] for number in sorted(self._rows)]
        names = [name for name, values in rows if np.isnan(values["EPE"])]
        if not names:
            return None
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return (
            f"warning: the true flow of {', '.join(names[:NAMED])}{more} is unknown at every "
            "pixel, so there is nothing to compare with; is it the right file?"
        )

    def table(self) -> list[list[str | float]]:
        """Rows for the terminal under ``("pair", *COLUMNS)``; the last one is of all pairs."""
        rows = [self._rows[number] for number in sorted(self._rows)]
        if len(rows) > SHOWN:
            # NaN, a pair without a known pixel, comes last.
            rows = sorted(rows, key=lambda row: -np.nan_to_num(row[1]["EPE"], nan=-1.0))[:SHOWN]
        if len(self._rows) == 1:
            return [_row(*rows[0])]
        return [*(_row(*row) for row in rows), _row(ALL, self.overall())]

    def csv(self) -> bytes:
        """All pairs in their order, then all of them together, as comma-separated values."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("pair", *COLUMNS))
        rows = [self._rows[number] for number in sorted(self._rows)]
        for name, values in [*rows, (ALL, self.overall())]:
            writer.writerow((name, *(f"{values[column]:.4f}" for column in COLUMNS)))
        return text.getvalue().encode(errors="surrogateescape")


def _row(name: str, values: dict[str, float]) -> list[str | float]:
    numbers: Sequence[float] = [values[column] for column in COLUMNS]
    return [name, *numbers]
