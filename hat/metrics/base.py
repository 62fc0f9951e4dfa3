"""What the engine expects of a metric."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric


class ResultMetric(Metric):
    """A torchmetrics metric that reports named numbers.

    All states are sums in float64 that are added up over the processes, so that a result does not
    depend on how the samples were distributed or batched.
    """

    full_state_update = False

    def add_sum(self, name: str, size: int | None = None) -> None:
        """Add a state that holds one sum, or ``size`` of them."""
        shape = () if size is None else (size,)
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def known_names(self) -> list[str] | None:
        """All names that :meth:`results` may have, or what they begin with in front of a slash.

        None if that is not known before there is a batch.
        """
        return None

    @abstractmethod
    def results(self) -> dict[str, float]:
        """The values by name, over all processes; NaN where there was nothing to average."""


def ratio(total: Tensor, count: Tensor) -> Tensor:
    """``total / count``; NaN where ``count`` is zero."""
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)
