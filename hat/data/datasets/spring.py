"""Spring (Mehl et al., CVPR 2023)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from hat.data.datasets.file_pairs import (
    FilePairs,
    PairFiles,
    PairOptions,
    choice,
    choices,
    names_in,
    root_folder,
)
from hat.data.flow_io import read_flow
from hat.registry import OBJECT_REGISTRY

__all__ = ["Spring"]

SPLITS = ("train", "test")
CAMERAS = ("left", "right")
DIRECTIONS = {"forward": ("FW", 1), "backward": ("BW", -1)}


@OBJECT_REGISTRY.register
class Spring(FilePairs):
    """Spring as it is published: ``train/0001/frame_left/frame_left_0001.png``,
    ``train/0001/flow_FW_left/flow_FW_left_0001.flo5``, ``test``.

    A pair is called ``0001/left/FW/0001``. The true flow has twice the width and height of the
    images, with values in px of the images: every second row and column is taken. It is unknown
    where it is NaN. Reading it needs h5py (``pip install h5py``).

    Args:
        data_path: the folder that holds ``train`` and ``test``.
        split_name: ``"train"``, or ``"test"``, which has no ground truth.
        directions: ``"forward"``, from each frame to the next, ``"backward"`` or both.
        cameras: ``"left"``, ``"right"`` or both.
        options: see :class:`FilePairs`.
    """

    def __init__(
        self,
        data_path: str,
        split_name: str = "train",
        directions: str | Sequence[str] = ("forward",),
        cameras: str | Sequence[str] = ("left",),
        **options: Unpack[PairOptions],
    ) -> None:
        self.split_name = choice(split_name, SPLITS, "split_name")
        root = root_folder(data_path, "Spring", split_name)
        pairs = (
            pair
            for scene in names_in(root / split_name)
            for camera in choices(cameras, CAMERAS, "cameras")
            for direction in choices(directions, DIRECTIONS, "directions")
            for pair in _pairs(root / split_name / scene, camera, direction, split_name == "train")
        )
        super().__init__(root, pairs, **options)

    def _read_flow(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        flow, valid = read_flow(path)
        return np.ascontiguousarray(flow[::2, ::2]), np.ascontiguousarray(valid[::2, ::2])


def _pairs(scene: Path, camera: str, direction: str, truth: bool) -> Iterator[PairFiles]:
    short, step = DIRECTIONS[direction]
    folder = scene / f"frame_{camera}"
    frame = re.compile(rf"frame_{camera}_(\d+)\.png")
    frames = {int(one[1]): one for one in filter(None, map(frame.fullmatch, names_in(folder)))}
    for number, found in frames.items():
        if number + step in frames:
            name = f"flow_{short}_{camera}"
            yield PairFiles(
                name=f"{scene.name}/{camera}/{short}/{found[1]}",
                image1=f"{folder}/{found[0]}",
                image2=f"{folder}/{frames[number + step][0]}",
                flow=f"{scene}/{name}/{name}_{found[1]}.flo5" if truth else None,
            )
