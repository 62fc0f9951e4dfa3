"""Pairs with exact flow that are drawn when they are asked for: no pair is seen twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from hat.data.synthesis.drawing import Drawing, draw_pair
from hat.data.synthesis.render import TextureSource
from hat.registry import OBJECT_REGISTRY
from hat.seeding import check_seed

__all__ = ["GeneratedPairs", "Stage"]

Sample = dict[str, Any]


@dataclass(frozen=True)
class Stage(Drawing):
    """What is drawn during some epochs: a :class:`Drawing` with fewer objects, nearer the middle.

    Attributes:
        epochs: how many; None for all that follow.
    """

    objects: tuple[int, int] = (1, 10)
    spread: float = 0.6
    effects: bool | str = True
    epochs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs of a stage must be positive or None, found {self.epochs}")


@OBJECT_REGISTRY.register
class GeneratedPairs(Dataset[Sample]):
    """Layered scenes with exact flow, in the samples of :class:`FlyingChairs`.

    Sample i of an epoch depends on (seed, epoch, i) and on the textures alone.

    Args:
        textures: texture source, such as ``TextureBank``.
        length: samples that count as an epoch.
        stages: the arguments of :class:`Stage` (those of
            :class:`~hat.data.synthesis.drawing.Drawing` and ``epochs``), one after the other;
            the last goes on for ever.
        transforms: callables ``t(sample, rng) -> sample``, applied in order.
        seed: of everything.
        fixed: all epochs have the samples of epoch 0 (for validation).
    """

    def __init__(
        self,
        textures: TextureSource,
        length: int,
        stages: Sequence[Mapping[str, Any]],
        transforms: Sequence[Callable[..., Sample]] | None = None,
        seed: int = 0,
        fixed: bool = False,
    ) -> None:
        self.textures, self.length = textures, length
        self.stages = [Stage(**stage) for stage in stages]
        if not self.stages or any(stage.epochs is None for stage in self.stages[:-1]):
            raise ValueError("stages: every stage but the last needs its number of epochs")
        self.transforms = list(transforms or ())
        self.seed, self.fixed = check_seed(seed), fixed
        # In shared memory: workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose samples are drawn (in all worker processes)."""
        self._epoch.fill_(0 if self.fixed else epoch)

    def stage(self, epoch: int) -> Stage:
        """The stage that an epoch belongs to."""
        for stage in self.stages[:-1]:
            epoch -= stage.epochs or 0
            if epoch < 0:
                return stage
        return self.stages[-1]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} of a data set of {self.length} pairs")
        cv2.setNumThreads(1)
        epoch = int(self._epoch)
        stage = self.stage(epoch)
        rng = np.random.default_rng((self.seed, epoch, index))
        motion, pair = draw_pair(rng, stage, self.textures)
        sample: Sample = {
            "img": np.concatenate((pair.image1, pair.image2), axis=2),
            "gt_flow": pair.flow,
            "img_id": index,
            "img_name": f"{motion}-{index:06d}",
            "img_shape": (*stage.size, 6),
            "layout": "hwc",
            "color_space": "rgb",
        }
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample
