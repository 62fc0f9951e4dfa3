"""Pairs with exact flow that are drawn when they are asked for: no pair is seen twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from hat.data.synthesis.effects import add_effects
from hat.data.synthesis.motions import MOTIONS, draw_name
from hat.data.synthesis.render import TextureSource, render_pair
from hat.data.synthesis.scene import random_scene
from hat.data.synthesis.shape_kinds import PUBLISHED_SHAPES, SHAPES
from hat.registry import OBJECT_REGISTRY
from hat.seeding import check_seed

__all__ = ["GeneratedPairs", "Stage"]

Sample = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """What is drawn during some epochs.

    Attributes:
        motions: how often each named motion is drawn, see
            :data:`hat.data.synthesis.motions.MOTIONS`.
        size: (H, W) of the images.
        epochs: how many; None for all that follow.
        objects: fewest and most objects of a scene.
        spread: half of the area of their centres, in sides of the image.
        unit: factor on all lengths of motions and outlines.
        effects: change light, sharpness and compression.
        shapes: how often each kind of object is drawn, see
            :data:`hat.data.synthesis.shape_kinds.SHAPES`.
        plain: share of the objects that have a plain, often dark colour.
    """

    motions: Mapping[str, float]
    size: tuple[int, int]
    epochs: int | None = None
    objects: tuple[int, int] = (1, 10)
    spread: float = 0.6
    unit: float = 1.0
    effects: bool = True
    shapes: Mapping[str, float] = field(default_factory=lambda: PUBLISHED_SHAPES)
    plain: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (("motions", MOTIONS), ("shapes", SHAPES)):
            weights = getattr(self, name)
            if set(weights) - set(known) or not sum(weights.values()) > 0:
                raise ValueError(
                    f"{name} must give weights to some of {', '.join(known)}, found {weights!r}"
                )
        if not 0 <= self.plain <= 1:
            raise ValueError(f"plain is a share of the objects, 0 to 1, found {self.plain!r}")
        for name in ("size", "objects"):  # a config may give lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs of a stage must be positive or None, found {self.epochs}")


@OBJECT_REGISTRY.register
class GeneratedPairs(Dataset[Sample]):
    """Layered scenes with exact flow, in the samples of :class:`FlyingChairs`.

    Sample i of an epoch depends on (seed, epoch, i) and on the textures alone.

    Args:
        textures: texture source, such as ``TextureBank``.
        length: samples that count as an epoch.
        stages: the arguments of :class:`Stage`, one after the other; the last goes on for ever.
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
        motion = draw_name(rng, stage.motions)
        scene = random_scene(
            rng,
            stage.size,
            stage.unit,
            motion,
            stage.objects,
            stage.spread,
            stage.shapes,
            stage.plain,
        )
        pair = render_pair(scene, self.textures)
        images = pair.image1, pair.image2
        if stage.effects:
            images = add_effects(rng, *images)
        sample: Sample = {
            "img": np.concatenate(images, axis=2),
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
