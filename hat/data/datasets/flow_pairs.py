"""What all data sets of image pairs share: how a pair becomes a sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from hat.data.transforms.torchvision_adapter import without_torchvision
from hat.seeding import check_seed

__all__ = ["FlowPairs", "Sample"]

Sample = dict[str, Any]


class FlowPairs(Dataset[Sample]):
    """Named pairs that a derived class reads.

    A sample holds what :meth:`_read` gives, ``img_id``, ``img_name``, ``img_shape``, ``layout``
    (``"hwc"``) and ``color_space`` (``"rgb"`` or ``"bgr"``); then it goes through ``transforms``,
    with random numbers that depend on (seed, epoch, index) alone.

    Args:
        names: of the pairs.
        transforms: callables ``t(sample, rng) -> sample``, applied in order.
        to_rgb: images in the order RGB; BGR if false.
        seed: of the random numbers handed to the transforms.
    """

    def __init__(
        self,
        names: Sequence[str],
        transforms: Sequence[Callable[..., Sample]] | None = None,
        to_rgb: bool = True,
        seed: int = 0,
    ) -> None:
        self.names = names
        self.transforms = without_torchvision(
            transforms, "give TorchVisionAdapter its name, in the batch_transforms"
        )
        self.to_rgb = to_rgb
        self.seed = check_seed(seed)
        # In shared memory: workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @abstractmethod
    def _read(self, index: int) -> dict[str, np.ndarray]:
        """``img``, uint8 RGB (H, W, 6): image 1, image 2; the true flow and its masks if known."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose random numbers the samples use (in all worker processes)."""
        self._epoch.fill_(epoch)

    @property
    def epoch(self) -> int:
        """The epoch in use."""
        return int(self._epoch)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return self._sample(index, ())

    def drawn(self, index: int, number: int) -> Sample:
        """The sample ``index`` with other random numbers for every ``number``.

        :class:`Mixture` may take a pair several times in an epoch, each time in another way.
        """
        return self._sample(index, (number,))

    def _sample(self, index: int, key: tuple[int, ...]) -> Sample:
        size = len(self.names)
        if not -size <= index < size:
            raise IndexError(f"index {index} of a data set of {size} pairs")
        index = int(index) % size
        arrays = self._read(index)
        images = arrays["img"]
        if not self.to_rgb:
            bgr = np.empty_like(images)
            cv2.mixChannels([images], [bgr], [0, 2, 1, 1, 2, 0, 3, 5, 4, 4, 5, 3])
            images = bgr
        sample: Sample = {
            **arrays,
            "img": images,
            "img_id": index,
            "img_name": self.names[index],
            "img_shape": images.shape,
            "layout": "hwc",
            "color_space": "rgb" if self.to_rgb else "bgr",
        }
        rng = np.random.default_rng((self.seed, self.epoch, index, *key))
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample
