"""Every sample several times, where a network learns faster than samples can be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hat.registry import OBJECT_REGISTRY
from hat.seeding import check_seed

__all__ = ["Echo"]

Sample = dict[str, Any]


@OBJECT_REGISTRY.register
class Echo(Dataset[Sample]):
    """Takes a sample of ``dataset``, or one taken before, and changes it by ``transforms``.

    Data echoing (Choi et al., 2019, "Faster Neural Network Training with Data Echoing"): example
    echoing before augmentation, from a shuffled buffer. Each worker process keeps a buffer of its
    own, so that which sample comes depends on the workers; a run is not the same to the bit again.
    Samples of the buffer are dropped when those of a new epoch have another size.

    Args:
        dataset: a map-style data set; samples before ``ToTensor``.
        factor: how often a sample is used, on average; 1 keeps nothing.
        buffer: samples that a worker keeps; the oldest goes first.
        transforms: callables ``t(sample, rng) -> sample``, applied in order each time anew.
        seed: of the choice, and of the transforms' random numbers.
    """

    def __init__(
        self,
        dataset: Any,
        factor: float = 1.0,
        buffer: int = 256,
        transforms: Sequence[Callable[..., Sample]] | None = None,
        seed: int = 0,
    ) -> None:
        if not factor >= 1:
            raise ValueError(f"factor must be at least 1, found {factor!r}")
        if buffer < 1:
            raise ValueError(f"buffer must hold at least 1 sample, found {buffer!r}")
        self.dataset, self.factor, self.buffer = dataset, factor, buffer
        self.transforms = list(transforms or ())
        self.seed = check_seed(seed)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._kept: list[Sample] = []
        self._oldest = 0
        self._kept_in = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (in all worker processes)."""
        self._epoch.fill_(epoch)
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def set_progress(self, progress: float) -> None:
        """Tell the data set how much of the run is over, 0 to 1."""
        if hasattr(self.dataset, "set_progress"):
            self.dataset.set_progress(progress)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        epoch = int(self._epoch)
        rng = np.random.default_rng((self.seed, epoch, index))
        sample = dict(self._choose(index, epoch, rng))
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample

    def _choose(self, index: int, epoch: int, rng: np.random.Generator) -> Sample:
        """A new sample, kept for later, or one of those kept."""
        same_epoch, self._kept_in = epoch == self._kept_in, epoch
        if same_epoch and self._kept and rng.random() >= 1 / self.factor:
            return self._kept[int(rng.integers(len(self._kept)))]
        sample: Sample = self.dataset[index]
        if self.factor > 1:
            if self._kept and self._kept[0]["img"].shape != sample["img"].shape:
                self._kept, self._oldest = [], 0
            if len(self._kept) < self.buffer:
                self._kept.append(sample)
            else:
                self._kept[self._oldest] = sample
                self._oldest = (self._oldest + 1) % self.buffer
        return sample
