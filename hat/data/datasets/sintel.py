"""MPI-Sintel (Butler et al., ECCV 2012)."""

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

__all__ = ["Sintel"]

FOLDERS = {"train": "training", "test": "test"}
PASSES = ("albedo", "clean", "final")
FRAME = re.compile(r"frame_(\d+)\.png")


@OBJECT_REGISTRY.register
class Sintel(FilePairs):
    """MPI-Sintel as it is published: ``training/clean/alley_1/frame_0001.png``,
    ``training/flow/alley_1/frame_0001.flo``, and so ``occlusions`` and ``invalid``; ``test``.

    A pair is called ``clean/alley_1/frame_0001``. Its true flow is unknown where ``invalid`` says
    so; ``gt_occlusion`` is there if ``occlusions`` is. Metrics are given for each pass, too.

    Args:
        data_path: the folder that holds ``training`` and ``test``.
        split_name: ``"train"``, or ``"test"``, which has no ground truth.
        passes: one of ``"albedo"``, ``"clean"`` and ``"final"``, or several of them. None: clean
            and final, as far as they are there.
        options: see :class:`FilePairs`.
    """

    def __init__(
        self,
        data_path: str,
        split_name: str = "train",
        passes: str | Sequence[str] | None = None,
        **options: Unpack[PairOptions],
    ) -> None:
        folder = FOLDERS[choice(split_name, FOLDERS, "split_name")]
        wanted = ["clean", "final"] if passes is None else choices(passes, PASSES, "passes")
        root = root_folder(data_path, "MPI-Sintel", *(f"{folder}/{one}" for one in wanted))
        if passes is None:
            wanted = [one for one in wanted if (root / folder / one).is_dir()]
        self.split_name = split_name
        super().__init__(root, _pairs(root / folder, wanted, split_name == "train"), **options)

    def submission_path(self, index: int) -> str:
        name, scene, frame = self.names[index].split("/")
        return f"{name}/{scene}/{frame.replace('_', '')}.flo"


def _pairs(folder: Path, passes: Sequence[str], truth: bool) -> Iterator[PairFiles]:
    masks = {"invalid": "invalid", "gt_occlusion": "occlusions"}
    masks = {key: name for key, name in masks.items() if truth and (folder / name).is_dir()}
    for name in passes:
        for scene in names_in(folder / name):
            frames = filter(None, map(FRAME.fullmatch, names_in(folder / name / scene)))
            numbers = {int(frame[1]) for frame in frames}
            for number in sorted(numbers):
                if number + 1 in numbers:
                    frame = f"frame_{number:04d}"
                    yield PairFiles(
                        name=f"{name}/{scene}/{frame}",
                        image1=f"{folder}/{name}/{scene}/{frame}.png",
                        image2=f"{folder}/{name}/{scene}/frame_{number + 1:04d}.png",
                        flow=f"{folder}/flow/{scene}/{frame}.flo" if truth else None,
                        masks={
                            key: f"{folder}/{mask}/{scene}/{frame}.png"
                            for key, mask in masks.items()
                        },
                        subset=name,
                    )
