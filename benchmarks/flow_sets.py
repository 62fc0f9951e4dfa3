"""Pairs with true flow to evaluate a network: real ones if at hand, and generated ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hat.data.datasets import FlyingChairs, GeneratedPairs
from hat.data.flow_io import read_flo
from hat.data.image_io import read_image
from hat.data.synthesis.render import TextureSource


class Pair(NamedTuple):
    """Image 1 and 2, uint8 RGB (H, W, 3), and the flow from 1 to 2, float32 (H, W, 2), px.

    ``occlusion`` uint8 (H, W) is 1 where image 2 does not show what image 1 shows, if it is known.
    """

    first: np.ndarray
    second: np.ndarray
    flow: np.ndarray
    occlusion: np.ndarray | None = None


REAL = Path("../shared/data")
SINTEL = ("alley_1_clean", "medium_clean")


def real_sets(folder: Path = REAL) -> dict[str, list[Pair]]:
    """The sample pairs of FlyingChairs and of Sintel that exist below ``folder``."""
    sets: dict[str, list[Pair]] = {}
    chairs = folder / "FlyingChairs"
    if chairs.is_dir():
        pairs = FlyingChairs(str(chairs), split_name="train", skip_missing=True)
        sets["FlyingChairs"] = [sample_pair(pairs[index]) for index in range(len(pairs))]
    for name in SINTEL:
        for flow in sorted((folder / "sintel" / name).glob("frame_*.flo")):
            number = int(flow.stem.removeprefix("frame_"))
            frames = [flow.with_name(f"frame_{n:04d}.png") for n in (number, number + 1)]
            pair = Pair(read_image(frames[0]), read_image(frames[1]), read_flo(flow))
            sets.setdefault(f"Sintel {name.removesuffix('_clean')}", []).append(pair)
    return sets


def generated_set(
    textures: TextureSource, motion: str, count: int, size: tuple[int, int] = (384, 512)
) -> Iterator[Pair]:
    """``count`` held-out pairs with the motions ``motion``, always the same ones."""
    stage = {"motions": {motion: 1.0}, "size": size, "objects": (1, 16)}
    pairs = GeneratedPairs(textures, count, [stage], seed=1_000_003, fixed=True, occlusion=True)
    for index in range(count):
        yield sample_pair(pairs[index])


def sample_pair(sample: dict) -> Pair:
    image = sample["img"]
    first, second = (np.ascontiguousarray(image[..., i : i + 3]) for i in (0, 3))
    return Pair(first, second, sample["gt_flow"], sample.get("gt_occlusion"))
