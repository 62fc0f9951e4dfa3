"""Small data sets in FlyingChairs' real layout, for tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hat.data.flow_io import write_flo
from hat.data.image_io import write_ppm


def smooth_image(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Random but smooth, like a photograph: uint8 (height, width, 3)."""
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def affine_flow(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Two affine motions side by side: float32 (height, width, 2)."""
    y, x = np.mgrid[:height, :width]
    grid = np.stack([np.ones_like(x), x, y], axis=-1)
    parts = [grid @ (rng.standard_normal((3, 2)) * [[5], [0.02], [0.02]]) for _ in range(2)]
    return np.where((x < width // 2)[..., None], *parts).astype(np.float32)


def make_pair(seed: int, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (height, width, 6) and flow float32 (height, width, 2)."""
    rng = np.random.default_rng(seed)
    images = np.concatenate([smooth_image(rng, height, width) for _ in range(2)], axis=2)
    return images, affine_flow(rng, height, width)


def write_raw_chairs(
    root: Path, labels: str, size: tuple[int, int] = (48, 64), newline_at_end: bool = False
) -> Path:
    """Write a raw data set; ``labels`` is one character per pair, as in the split file."""
    data = root / "FlyingChairs_release" / "data"
    data.mkdir(parents=True)
    for number, _ in enumerate(labels, 1):
        images, flow = make_pair(number, *size)
        write_ppm(data / f"{number:05d}_img1.ppm", images[..., :3])
        write_ppm(data / f"{number:05d}_img2.ppm", images[..., 3:])
        write_flo(data / f"{number:05d}_flow.flo", flow)
    (root / "FlyingChairs_train_val.txt").write_text(
        "\n".join(labels) + ("\n" if newline_at_end else "")
    )
    return root
