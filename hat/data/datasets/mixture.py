"""Several data sets as one, each with its weight, and with the epochs in which it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hat.registry import OBJECT_REGISTRY
from hat.seeding import check_seed

__all__ = ["Mixture", "Part"]


@dataclass(frozen=True)
class Part:
    """One data set of a mixture.

    Attributes:
        dataset: a map-style data set; its ``set_epoch`` and ``set_progress``, where it has them,
            are told the epoch, and how much of the run is over.
        weight: how often it is drawn, beside the others of an epoch.
        first_epoch, end_epoch: it counts in the epochs from the first up to but not with the end.
    """

    dataset: Any
    weight: float = 1.0
    first_epoch: int = 0
    end_epoch: int | None = None

    def counts(self, epoch: int) -> bool:
        return self.first_epoch <= epoch and (self.end_epoch is None or epoch < self.end_epoch)


@OBJECT_REGISTRY.register
class Mixture(Dataset[Any]):
    """Sample i of an epoch comes from a part and a place in it that (seed, epoch, i) decide.

    A pair that is drawn several times in an epoch is augmented in a different way each time, where
    its data set has ``drawn(place, i)``.

    Args:
        parts: the arguments of :class:`Part`. Samples of one epoch must fit into a batch together.
        length: samples that count as an epoch.
        seed: of the choice.

    Raises:
        ValueError: an epoch without a part, found when it begins.
    """

    def __init__(self, parts: Sequence[dict[str, Any]], length: int, seed: int = 0) -> None:
        self.parts = [Part(**part) for part in parts]
        self.length, self.seed = length, check_seed(seed)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._now(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (in all worker processes)."""
        self._now(epoch)
        self._epoch.fill_(epoch)
        for part in self.parts:
            if hasattr(part.dataset, "set_epoch"):
                part.dataset.set_epoch(epoch)

    def set_progress(self, progress: float) -> None:
        """Tell the parts how much of the run is over, 0 to 1."""
        for part in self.parts:
            if hasattr(part.dataset, "set_progress"):
                part.dataset.set_progress(progress)

    def _now(self, epoch: int) -> list[Part]:
        parts = [part for part in self.parts if part.counts(epoch) and part.weight > 0]
        if not parts:
            raise ValueError(f"no part of the mixture counts in epoch {epoch}")
        return parts

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} of a data set of {self.length} samples")
        epoch = int(self._epoch)
        rng = np.random.default_rng((self.seed, epoch, index))
        parts = self._now(epoch)
        weights = np.array([part.weight for part in parts])
        dataset = parts[int(rng.choice(len(parts), p=weights / weights.sum()))].dataset
        place = int(rng.integers(len(dataset)))
        return dataset.drawn(place, index) if hasattr(dataset, "drawn") else dataset[place]
