"""Networks of one's own, for configs in tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class TwoByTwo(nn.Module):
    """An image and its depth to a mask (N, 2, H, W) and scores (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Conv2d(3, 8, 3, padding=1)
        self.distance = nn.Conv2d(1, 8, 3, padding=1)
        self.block = nn.Sequential(
            *(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.SiLU()),
            *(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), nn.SiLU()),
        )
        self.mask = nn.Conv2d(16, 2, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, image: Tensor, depth: Tensor) -> dict[str, Tensor]:
        x = functional.silu(self.colour(image)) + functional.silu(self.distance(depth))
        x = self.block(functional.avg_pool2d(x, 2))
        wide = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        scores = self.head(x.mean((2, 3)))
        return {"mask": self.mask(wide), "scores": functional.softmax(scores, 1)}


class Skip(nn.Module):
    """A map to one of its size, past a quarter of it: sides are multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Sequential(
            *(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU()),
        )
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        return self.last(x + functional.interpolate(self.down(x), scale_factor=4.0))


class Scenes(torch.utils.data.Dataset):
    """A bright rectangle on noise, and one of five distances; samples are dicts."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, object]:
        rng, label = np.random.default_rng(index), index % 5
        image = rng.normal(0, 0.2, (3, 16, 24)).astype(np.float32)
        depth = (rng.normal(0, 0.2, (1, 16, 24)) + label / 3 - 0.7).astype(np.float32)
        mask = np.zeros((16, 24), np.int64)
        y, x = rng.integers(1, 8), rng.integers(1, 12)
        mask[y : y + 7, x : x + 10] = 1
        image[:, mask == 1] += 1
        return {"image": image, "depth": depth, "mask": mask, "label": label}
