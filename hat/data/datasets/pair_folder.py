"""Image pairs in a user's folder, found by patterns of file names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Unpack

from hat.data.datasets.file_pairs import FilePairs, PairFiles, PairOptions
from hat.errors import InputError
from hat.paths import also_tried, find_input
from hat.registry import OBJECT_REGISTRY

__all__ = ["PairFolder"]

Stars = tuple[str, ...]


@OBJECT_REGISTRY.register
class PairFolder(FilePairs):
    """Pairs that patterns of paths describe: ``*`` stands for any text without a slash.

    The texts that the stars of ``img1`` stand for belong to a pair, and the other patterns have as
    many stars: ``img1="*/*_a.png", img2="*/*_b.png", flow="*/*_flow.flo"`` takes ``x/7_a.png``,
    ``x/7_b.png`` and ``x/7_flow.flo`` for the pair ``x/7``. Without ``img2``, each image that
    ``img1`` describes is followed by the next one of its folder (numbers in their order: 9, 10).

    Args:
        data_path: the folder that the patterns are relative to.
        img1, img2: of the images, in any format.
        flow: of the true flow, ``.flo``, ``.pfm``, ``.flo5`` or KITTI's ``.png``, px. None: there
            is none.
        occlusion: of pictures that are not black where a pixel of image 1 is not visible in
            image 2.
        invalid: of pictures that are not black where the true flow is unknown.
        options: see :class:`FilePairs`.
    """

    def __init__(
        self,
        data_path: str,
        img1: str,
        img2: str | None = None,
        flow: str | None = None,
        occlusion: str | None = None,
        invalid: str | None = None,
        **options: Unpack[PairOptions],
    ) -> None:
        patterns = {"img2": img2, "flow": flow, "occlusion": occlusion, "invalid": invalid}
        stars = img1.count("*")
        if not stars or "**" in img1:
            raise ValueError(f"img1 needs one * or more, each between other text, found {img1!r}")
        for key, pattern in patterns.items():
            if pattern is not None and pattern.count("*") != stars:
                raise ValueError(
                    f"{key}={pattern!r} has {pattern.count('*')} *, but img1={img1!r} has {stars}"
                )
        if flow is None and (occlusion or invalid):
            raise ValueError("occlusion and invalid say something of the true flow; give flow, too")
        root = find_input(data_path)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder{also_tried(data_path)}")
        masks = {"gt_occlusion": occlusion, "invalid": invalid}
        pairs = (
            PairFiles(
                name="/".join(found),
                image1=first,
                image2=second,
                flow=_filled(root, flow, found),
                masks={
                    key: path for key, one in masks.items() if (path := _filled(root, one, found))
                },
            )
            for found, first, second in _images(root, img1, img2)
        )
        super().__init__(root, pairs, **options)


def _images(root: Path, img1: str, img2: str | None) -> Iterator[tuple[Stars, str, str]]:
    """The stars of each pair and its two images."""
    frames = _matching(root, img1)
    if img2 is not None:
        for stars, first in frames:
            second = _filled(root, img2, stars)
            assert second is not None
            yield stars, first, second
        return
    for (stars, first), (_, second) in pairwise(frames):
        if os.path.dirname(first) == os.path.dirname(second):
            yield stars, first, second


def _matching(root: Path, pattern: str) -> list[tuple[Stars, str]]:
    """The files below ``root`` that a pattern describes, in order, with what its stars are."""
    form = re.compile("([^/]*)".join(map(re.escape, pattern.split("*"))))
    os.scandir(root).close()  # an error that glob would hide
    paths = (path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file())
    found = [one for one in map(form.fullmatch, paths) if one is not None]
    found.sort(key=lambda one: (os.path.dirname(one[0]), _natural(one[0])))
    return [(one.groups(), f"{root}/{one[0]}") for one in found]


def _natural(text: str) -> list[tuple[int, str]]:
    """Compares as people count: 9 before 10."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _filled(root: Path, pattern: str | None, stars: Stars) -> str | None:
    """The path that a pattern becomes with these texts for its stars."""
    if pattern is None:
        return None
    parts = pattern.split("*")
    filled = "".join(text for pair in zip(parts, (*stars, ""), strict=True) for text in pair)
    return f"{root}/{filled}"
