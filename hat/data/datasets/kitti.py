"""KITTI's optical flow: 2012 (Geiger et al., CVPR 2012) and 2015 (Menze and Geiger, CVPR 2015).

Both lie in ``training/{images}/000000_10.png`` and ``_11.png``, the true flow, which is sparse, in
``training/flow_occ/000000_10.png``, with ``flow_noc`` and ``obj_map`` beside it; the images without
true flow in ``testing``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Unpack

from hat.data.datasets.file_pairs import (
    FilePairs,
    PairFiles,
    PairOptions,
    choice,
    names_in,
    root_folder,
)
from hat.registry import OBJECT_REGISTRY

__all__ = ["KITTI2012", "KITTI2015"]

FOLDERS = {"train": "training", "test": "testing"}
FIRST = re.compile(r"(\d{6})_10\.png")


class _KITTI(FilePairs):
    image_folders: ClassVar[tuple[str, ...]]

    def __init__(
        self, data_path: str, split_name: str = "train", **options: Unpack[PairOptions]
    ) -> None:
        folder = FOLDERS[choice(split_name, FOLDERS, "split_name")]
        inside = [f"{folder}/{images}" for images in self.image_folders]
        root = root_folder(data_path, type(self).__name__, *inside)
        images = next(root / one for one in inside if (root / one).is_dir())
        self.split_name = split_name
        super().__init__(root, _pairs(root / folder, images, split_name == "train"), **options)


@OBJECT_REGISTRY.register
class KITTI2012(_KITTI):
    """KITTI 2012: colour images (``colored_0``), or grey ones (``image_0``) without them.

    A pair is called ``000000_10``. ``gt_noc`` is there if ``flow_noc`` is, ``gt_object`` if
    ``obj_map`` is.

    Args:
        data_path: the folder that holds ``training`` and ``testing``.
        split_name: ``"train"``, or ``"test"``, which has no ground truth.
        options: see :class:`FilePairs`.
    """

    image_folders = ("colored_0", "image_0")

    def submission_path(self, index: int) -> str:
        return f"{self.names[index]}.png"


@OBJECT_REGISTRY.register
class KITTI2015(_KITTI):
    """KITTI 2015: images of the left colour camera (``image_2``).

    A pair is called ``000000_10``. ``gt_noc`` is there if ``flow_noc`` is, ``gt_object`` if
    ``obj_map`` is.

    Args:
        data_path: the folder that holds ``training`` and ``testing``.
        split_name: ``"train"``, or ``"test"``, which has no ground truth.
        options: see :class:`FilePairs`.
    """

    image_folders = ("image_2",)

    def submission_path(self, index: int) -> str:
        return f"flow/{self.names[index]}.png"


def _pairs(folder: Path, images: Path, truth: bool) -> Iterator[PairFiles]:
    masks = {"gt_noc": "flow_noc", "gt_object": "obj_map"}
    masks = {key: name for key, name in masks.items() if truth and (folder / name).is_dir()}
    for found in filter(None, map(FIRST.fullmatch, names_in(images))):
        name = f"{found[1]}_10"
        yield PairFiles(
            name=name,
            image1=f"{images}/{name}.png",
            image2=f"{images}/{found[1]}_11.png",
            flow=f"{folder}/flow_occ/{name}.png" if truth else None,
            masks={key: f"{folder}/{mask}/{name}.png" for key, mask in masks.items()},
        )
