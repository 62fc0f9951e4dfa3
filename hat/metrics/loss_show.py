"""Average training losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hat.metrics.base import ResultMetric, ratio
from hat.metrics.resize import MAX_LEVEL
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class LossShow(ResultMetric):
    """Mean of each level's weighted loss, and of their sum, over the steps since the last reset.

    Args:
        name: the key of the sum; levels are called ``{name}_1/4`` and so on.
        finest_level: pyramid level of the first loss (2 is 1/4 of the image's size).
    """

    losses: Tensor
    steps: Tensor

    def __init__(self, name: str = "loss", finest_level: int = 2) -> None:
        super().__init__()
        if not 0 <= finest_level <= MAX_LEVEL:
            raise ValueError(f"finest_level: expected 0..{MAX_LEVEL}, found {finest_level!r}")
        self.name = name
        self.finest_level = finest_level
        self.add_sum("losses", MAX_LEVEL + 1)
        self.add_sum("steps", MAX_LEVEL + 1)

    def update(self, losses: Any) -> None:
        """Add one step.

        Args:
            losses: scalars, finest level first: a list, one tensor, or the task's training
                output, which holds the list under ``"losses"``.

        Raises:
            ValueError: no losses, or more than the pyramid has levels.
        """
        if isinstance(losses, Mapping):
            if "losses" not in losses:
                raise ValueError(f"expected the key 'losses', found {sorted(map(str, losses))}")
            losses = losses["losses"]
        values: list[Tensor] = [losses] if torch.is_tensor(losses) else list(losses)
        if not 0 < len(values) <= len(self.losses):
            raise ValueError(f"expected 1 to {len(self.losses)} losses, found {len(values)}")
        step = torch.stack([value.detach().double().reshape(()) for value in values])
        self.losses[: len(values)] += step.to(self.losses.device)
        self.steps[: len(values)] += 1

    def compute(self) -> dict[str, Tensor]:
        """The sum and each level's mean by name, float64 scalars; NaN before the first step."""
        levels = {
            f"{self.name}_1/{1 << (self.finest_level + index)}": ratio(loss, steps)
            for index, (loss, steps) in enumerate(zip(self.losses, self.steps, strict=True))
            if steps
        }
        if not levels:
            return {self.name: torch.full_like(self.losses[0], torch.nan)}
        return {self.name: torch.stack(list(levels.values())).sum(), **levels}

    def results(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.compute().items()}
