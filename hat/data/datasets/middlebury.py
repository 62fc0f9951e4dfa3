"""Middlebury's optical flow (Baker et al., IJCV 2011)."""

from __future__ import annotations

from collections.abc import Iterator
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

__all__ = ["Middlebury"]

IMAGES = {"train": "other-data", "test": "eval-data"}
FLOW = "other-gt-flow"


@OBJECT_REGISTRY.register
class Middlebury(FilePairs):
    """Middlebury as it is published: ``other-data/Venus/frame10.png`` and ``frame11.png``,
    ``other-gt-flow/Venus/flow10.flo``, ``eval-data``.

    A pair is called by its scene. Flow beyond 1e9 is unknown.

    Args:
        data_path: the folder that holds those.
        split_name: ``"train"``: the scenes with published flow; ``"test"``: ``eval-data``.
        options: see :class:`FilePairs`.
    """

    def __init__(
        self, data_path: str, split_name: str = "train", **options: Unpack[PairOptions]
    ) -> None:
        images = IMAGES[choice(split_name, IMAGES, "split_name")]
        root = root_folder(data_path, "Middlebury", images)
        self.split_name = split_name
        flow = root / FLOW if split_name == "train" else None
        super().__init__(root, _pairs(root / images, flow), **options)


def _pairs(images: Path, flow: Path | None) -> Iterator[PairFiles]:
    # Four scenes of other-data have no published flow.
    for scene in names_in(flow or images):
        yield PairFiles(
            name=scene,
            image1=f"{images}/{scene}/frame10.png",
            image2=f"{images}/{scene}/frame11.png",
            flow=None if flow is None else f"{flow}/{scene}/flow10.flo",
        )
