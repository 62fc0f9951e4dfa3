"""FlyingChairs2 (Ilg et al., ECCV 2018)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Unpack

from hat.data.datasets.file_pairs import (
    FilePairs,
    PairFiles,
    PairOptions,
    choice,
    choices,
    names_in,
    root_folder,
)
from hat.registry import OBJECT_REGISTRY

__all__ = ["FlyingChairs2"]

SPLITS = ("train", "val")
DIRECTIONS = {"forward": (0, 1), "backward": (1, 0)}
FIRST = re.compile(r"(\d+)-img_0\.png")


@OBJECT_REGISTRY.register
class FlyingChairs2(FilePairs):
    """FlyingChairs2 as it is published: ``train/0000000-img_0.png``, ``-img_1.png``,
    ``-flow_01.flo``, ``-occ_01.png``; ``val``.

    A pair is called ``0000000-01``; ``0000000-10`` is from image 1 back to image 0.
    ``gt_occlusion`` is there if the split has ``occ`` files.

    Args:
        data_path: the folder that holds ``train`` and ``val``.
        split_name: ``"train"`` or ``"val"``.
        directions: ``"forward"``, ``"backward"`` or both.
        options: see :class:`FilePairs`.
    """

    def __init__(
        self,
        data_path: str,
        split_name: str = "train",
        directions: str | Sequence[str] = ("forward",),
        **options: Unpack[PairOptions],
    ) -> None:
        self.split_name = choice(split_name, SPLITS, "split_name")
        root = root_folder(data_path, "FlyingChairs2", split_name)
        ways = [DIRECTIONS[way] for way in choices(directions, DIRECTIONS, "directions")]
        pairs = (pair for way in ways for pair in _pairs(root / split_name, *way))
        super().__init__(root, pairs, **options)


def _pairs(folder: Path, one: int, two: int) -> Iterator[PairFiles]:
    names = names_in(folder)
    with_occlusions = any(name.endswith(f"-occ_{one}{two}.png") for name in names)
    for found in filter(None, map(FIRST.fullmatch, names)):
        stem = f"{folder}/{found[1]}"
        occlusion = f"{stem}-occ_{one}{two}.png"
        yield PairFiles(
            name=f"{found[1]}-{one}{two}",
            image1=f"{stem}-img_{one}.png",
            image2=f"{stem}-img_{two}.png",
            flow=f"{stem}-flow_{one}{two}.flo",
            masks={"gt_occlusion": occlusion} if with_occlusions else {},
        )
