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
from hat.data.synthesis.field_statistics import unmatched
from hat.data.synthesis.render import TextureSource
from hat.registry import OBJECT_REGISTRY
from hat.seeding import check_seed

__all__ = ["GeneratedPairs", "Stage"]

Sample = dict[str, Any]


@dataclass(frozen=True)
class Stage(Drawing):
    """The drawing during some epochs: a :class:`Drawing` with fewer objects, closer to the centre.

    Attributes:
        epochs, until: the length, as a number of epochs or as the fraction of the run at which it
            ends; the last stage has neither.
    """

    objects: tuple[int, int] = (1, 10)
    spread: float = 0.6
    effects: bool | str = True
    epochs: int | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs of a stage must be positive or None, found {self.epochs}")
        if self.until is not None and not 0 < self.until < 1:
            raise ValueError(f"until is a fraction of the run, 0 to 1, found {self.until}")


@OBJECT_REGISTRY.register
class GeneratedPairs(Dataset[Sample]):
    """Layered scenes with exact flow, in the samples of :class:`FlyingChairs`.

    Sample i of an epoch depends on (seed, epoch, i) and on the textures alone.

    Args:
        textures: texture source, such as ``TextureBank``.
        length: samples that count as an epoch.
        stages: the arguments of :class:`Stage` (those of
            :class:`~hat.data.synthesis.drawing.Drawing`, ``epochs`` or ``until``), in turn;
            the last goes on for ever.
        transforms: callables ``t(sample, rng) -> sample``, applied in order.
        seed: of everything.
        fixed: all epochs have the samples of epoch 0 (for validation).
        occlusion: samples have ``gt_occlusion``, uint8 (H, W), 1 where image 2 does not show the
            surface of image 1; metrics then have ``EPE matched`` and ``EPE unmatched``.

    Raises:
        ValueError: no texture source, or stages that are wrong.
    """

    def __init__(
        self,
        textures: TextureSource,
        length: int,
        stages: Sequence[Mapping[str, Any]],
        transforms: Sequence[Callable[..., Sample]] | None = None,
        seed: int = 0,
        fixed: bool = False,
        occlusion: bool = False,
    ) -> None:
        if not callable(textures):
            raise ValueError(
                f"textures is a texture source such as TextureBank, found {textures!r}"
            )
        self.textures, self.length = textures, length
        self.stages = [Stage(**stage) for stage in stages]
        self._check_lengths()
        self.transforms = list(transforms or ())
        self.seed, self.fixed = check_seed(seed), fixed
        self.occlusion = occlusion
        # In shared memory: workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._progress = torch.zeros((), dtype=torch.float64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose samples are drawn (in all worker processes)."""
        self._epoch.fill_(0 if self.fixed else epoch)

    def set_progress(self, progress: float) -> None:
        """Tell how much of the run is over, 0 to 1 (in all worker processes)."""
        self._progress.fill_(0.0 if self.fixed else progress)

    def stage(self) -> Stage:
        """The stage that the epoch, or the progress of the run, belongs to."""
        epoch, progress = int(self._epoch), float(self._progress)
        for stage in self.stages[:-1]:
            epoch -= stage.epochs or 0
            if epoch < 0 or progress < (stage.until or 0.0):
                return stage
        return self.stages[-1]

    def _check_lengths(self) -> None:
        """All stages but the last have epochs, or all have a fraction, and these rise."""
        lengths = [(stage.epochs, stage.until) for stage in self.stages[:-1]]
        by_epochs = all(e is not None and u is None for e, u in lengths)
        ends = [until for epochs, until in lengths if epochs is None and until is not None]
        by_fraction = len(ends) == len(lengths) and ends == sorted(set(ends))
        if not self.stages or not (by_epochs or by_fraction):
            raise ValueError(
                "stages: every stage but the last needs its number of epochs, or every one a "
                "fraction of the run, 'until', that rises from stage to stage"
            )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} of a data set of {self.length} pairs")
        cv2.setNumThreads(1)
        epoch = int(self._epoch)
        stage = self.stage()
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
        if self.occlusion:
            hidden = unmatched(pair.flow, pair.labels1, pair.labels2)
            sample["gt_occlusion"] = hidden.astype(np.uint8)
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample
