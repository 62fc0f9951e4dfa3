"""Image pairs as the board's input: real pairs if they are at hand, otherwise generated pairs."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.calibration_choices import CONFIG
from benchmarks.training_step import smooth_pair
from hat.cli.sections import validation_loader
from hat.config import Config
from hat.data.image_io import read_image
from hat.data.transforms import board_image
from hat.data.transforms.sample import image_pair
from hat.deploy.board_program import pad_planes

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
GENERATED = ROOT / "tmp_data" / "GeneratedChairs" / "val_lmdb"


def image_pairs(count: int, size: tuple[int, int]) -> tuple[list[np.ndarray], str]:
    """Up to ``count`` pairs, uint8 RGB (h, w, 6), and a text that names their source."""
    chairs = sorted((SHARED_DATA / "FlyingChairs").rglob("*_img1.ppm"))
    files = [(path, path.with_name(path.name.replace("img1", "img2"))) for path in chairs]
    sintel, frames = SHARED_DATA / "sintel" / "alley_1_clean", SHARED_DATA / "frames"
    files.insert(1, (sintel / "frame_0002.png", sintel / "frame_0003.png"))
    files.insert(2, (frames / "img001.jpg", frames / "img002.jpg"))
    files = [pair for pair in files if all(path.exists() for path in pair)][:count]
    if files:
        names = ", ".join(first.relative_to(SHARED_DATA).as_posix() for first, _ in files)
        pairs = [np.concatenate([read_image(path) for path in pair], axis=2) for pair in files]
        return pairs, f"real: {names}"
    if GENERATED.exists():
        config = Config.fromfile(CONFIG)
        section = config.section("val_data_loader")["dataset"]
        dataset: Any = validation_loader(
            config, dataset={**section, "data_path": str(GENERATED)}
        ).dataset
        samples = islice((dataset[n] for n in range(len(dataset))), count)
        return [image_pair(sample) for sample in samples], "generated: the first of val_lmdb"
    smooth, _ = smooth_pair(count, *size)
    images = (smooth * 128 + 128).round().clamp(0, 255).to(torch.uint8).numpy()
    return list(images.transpose(0, 2, 3, 1)), "smooth random"


def fitted(pair: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A pair cut to its centre, or with its border repeated, as the board's input: (1, 6, H, W)."""
    top, left = (max(0, s - to) // 2 for s, to in zip(pair.shape[:2], size, strict=True))
    centre = np.ascontiguousarray(pair[top : top + size[0], left : left + size[1]])
    return pad_planes(board_image(centre), size)[None]
