"""FlyingThings3D (Mayer et al., CVPR 2016), the whole of it and the subset for DispNet/FlowNet2."""

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
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY

__all__ = ["FlyingThings3D"]

SPLITS = ("train", "val")
PASSES = ("clean", "final")
CAMERAS = ("left", "right")
# Of a direction: its folder, its name in files, and the step from image 1 to image 2.
DIRECTIONS = {
    "forward": ("into_future", "OpticalFlowIntoFuture", 1),
    "backward": ("into_past", "OpticalFlowIntoPast", -1),
}
IMAGE = re.compile(r"(\d+)\.(?:png|webp)")
FLOW = re.compile(r"(\d+)\.flo")


@OBJECT_REGISTRY.register
class FlyingThings3D(FilePairs):
    """FlyingThings3D in either of its published layouts, which is told by the folders:

    - whole: ``frames_cleanpass/TRAIN/A/0000/left/0006.png``,
      ``optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm``;
    - subset: ``train/image_clean/left/0000000.png``, ``train/flow/left/into_future/0000000.flo``,
      ``train/flow_occlusions/left/into_future/0000000.png``, which gives ``gt_occlusion``.

    A pair is called ``clean/A/0000/left/into_future/0006`` or
    ``clean/left/into_future/0000000``. Metrics are given for each pass, too.

    Args:
        data_path: the folder that holds those.
        split_name: ``"train"``, or ``"val"`` (which the whole data set calls ``TEST``).
        passes: ``"clean"``, ``"final"`` or both; None: as far as they are there.
        directions: ``"forward"``, from each frame to the next, ``"backward"`` or both.
        cameras: ``"left"``, ``"right"`` or both.
        options: see :class:`FilePairs`. A few pixels of the whole data set have absurd flow;
            ``max_flow=1000`` leaves them out.
    """

    def __init__(
        self,
        data_path: str,
        split_name: str = "train",
        passes: str | Sequence[str] | None = None,
        directions: str | Sequence[str] = ("forward",),
        cameras: str | Sequence[str] = ("left",),
        **options: Unpack[PairOptions],
    ) -> None:
        self.split_name = choice(split_name, SPLITS, "split_name")
        wanted = PASSES if passes is None else choices(passes, PASSES, "passes")
        ways = choices(directions, DIRECTIONS, "directions")
        eyes = choices(cameras, CAMERAS, "cameras")
        upper = {"train": "TRAIN", "val": "TEST"}[split_name]
        whole = {one: f"frames_{one}pass/{upper}" for one in wanted}
        subset = {one: f"{split_name}/image_{one}" for one in wanted}
        root = root_folder(data_path, "FlyingThings3D", *whole.values(), *subset.values())
        is_whole = any((root / images).is_dir() for images in whole.values())
        folders = {one: root / images for one, images in (whole if is_whole else subset).items()}
        there = [one for one in wanted if folders[one].is_dir()]
        if passes is not None and len(there) < len(wanted):
            lacking = next(one for one in wanted if one not in there)
            raise InputError(f"{root}: passes has {lacking!r}, but there is no {folders[lacking]}")
        find = _whole_pairs if is_whole else _subset_pairs
        truth = root / "optical_flow" / upper if is_whole else root / split_name
        pairs = (
            pair
            for one in there
            for eye in eyes
            for way in ways
            for pair in find(folders[one], truth, one, eye, way)
        )
        super().__init__(root, pairs, **options)


def _whole_pairs(
    images: Path, truth: Path, name: str, camera: str, direction: str
) -> Iterator[PairFiles]:
    folder, prefix, step = DIRECTIONS[direction]
    for letter in names_in(images):
        for scene in names_in(images / letter):
            here = f"{images}/{letter}/{scene}/{camera}"
            flows = f"{truth}/{letter}/{scene}/{folder}/{camera}"
            frames = _frames(here)
            for number, found in frames.items():
                if number + step in frames:
                    yield PairFiles(
                        name=f"{name}/{letter}/{scene}/{camera}/{folder}/{found[1]}",
                        image1=f"{here}/{found[0]}",
                        image2=f"{here}/{frames[number + step][0]}",
                        flow=f"{flows}/{prefix}_{found[1]}_{camera[0].upper()}.pfm",
                        subset=name,
                    )


def _subset_pairs(
    images: Path, truth: Path, name: str, camera: str, direction: str
) -> Iterator[PairFiles]:
    folder, _, step = DIRECTIONS[direction]
    frames = _frames(images / camera)
    flows = truth / "flow" / camera / folder
    occlusions = truth / "flow_occlusions" / camera / folder
    with_occlusions = occlusions.is_dir()
    # Scenes follow each other in one numbering: at the end of each there is an image, but no flow.
    for found in filter(None, map(FLOW.fullmatch, names_in(flows))):
        number = int(found[1])
        if number in frames and number + step in frames:
            yield PairFiles(
                name=f"{name}/{camera}/{folder}/{found[1]}",
                image1=f"{images}/{camera}/{frames[number][0]}",
                image2=f"{images}/{camera}/{frames[number + step][0]}",
                flow=f"{flows}/{found[0]}",
                masks={"gt_occlusion": f"{occlusions}/{found[1]}.png"} if with_occlusions else {},
                subset=name,
            )


def _frames(folder: str | Path) -> dict[int, re.Match[str]]:
    """The images of a folder by their number."""
    return {int(one[1]): one for one in filter(None, map(IMAGE.fullmatch, names_in(folder)))}
