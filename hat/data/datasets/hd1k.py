"""HD1K (Kondermann et al., CVPR Workshops 2016)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Unpack

from hat.data.datasets.file_pairs import (
    FilePairs,
    PairFiles,
    PairOptions,
    choice,
    names_in,
    root_folder,
)
from hat.registry import OBJECT_REGISTRY

__all__ = ["HD1K"]

IMAGES = {"train": "hd1k_input/image_2", "test": "hd1k_challenge/image_2"}
FLOW = "hd1k_flow_gt/flow_occ"
FRAME = re.compile(r"(\d{6})_(\d{4})\.png")


@OBJECT_REGISTRY.register
class HD1K(FilePairs):
    """HD1K as it is published: ``hd1k_input/image_2/000000_0010.png``,
    ``hd1k_flow_gt/flow_occ/000000_0010.png``, ``hd1k_challenge/image_2``.

    A pair is called ``000000_0010``, sequence and frame. The true flow is sparse.

    Args:
        data_path: the folder that holds those.
        split_name: ``"train"``, or ``"test"``, which has no ground truth.
        options: see :class:`FilePairs`.
    """

    def __init__(
        self, data_path: str, split_name: str = "train", **options: Unpack[PairOptions]
    ) -> None:
        inside = IMAGES[choice(split_name, IMAGES, "split_name")]
        root = root_folder(data_path, "HD1K", inside)
        self.split_name = split_name
        flow = root / FLOW if split_name == "train" else None
        super().__init__(root, _pairs(root / inside, flow), **options)


def _pairs(images: Path, flow: Path | None) -> Iterator[PairFiles]:
    frames = list(filter(None, map(FRAME.fullmatch, names_in(images))))
    for first, second in pairwise(frames):
        if first[1] == second[1]:  # of one sequence, whose last frame has no second image
            yield PairFiles(
                name=first[0].removesuffix(".png"),
                image1=f"{images}/{first[0]}",
                image2=f"{images}/{second[0]}",
                flow=None if flow is None else f"{flow}/{first[0]}",
            )
