"""The folders of FlyingChairs as published: where the files are and which pair is in which split.

::

    FlyingChairs/
      FlyingChairs_release/data/00001_img1.ppm  00001_img2.ppm  00001_flow.flo  00002_img1.ppm ...
      FlyingChairs_train_val.txt      line i belongs to pair i (from 00001): 1 = train, 2 = val
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hat.data.flow_io import read_flo
from hat.data.image_io import read_ppm
from hat.errors import InputError
from horizon.cpus import usable_cpus

__all__ = ["SPLITS", "SUFFIXES", "RawFolder", "find_raw_folder", "packer_command", "read_pair"]

SPLITS = {"train": "1", "val": "2"}
SUFFIXES = ("_img1.ppm", "_img2.ppm", "_flow.flo")
SPLIT_FILES = ("FlyingChairs_train_val.txt", "FlyingChairs_release/FlyingChairs_train_val.txt")
PAIR_FILE = re.compile(r"\d{5}_(img1\.ppm|img2\.ppm|flow\.flo)")
DATA_FOLDERS = ("FlyingChairs_release/data", "data")


@dataclass(frozen=True)
class RawFolder:
    """A raw data set: the folder of the pairs and the labels of its split file, in its order."""

    data: Path
    split_file: Path
    labels: tuple[str, ...]

    def names(self, split_name: str) -> list[str]:
        """Names of the pairs of a split, in the order of the split file.

        Raises:
            InputError: the split has no pair.
        """
        label = SPLITS[split_name]
        names = [f"{i:05d}" for i, found in enumerate(self.labels, 1) if found == label]
        if not names:
            raise InputError(
                f"{self.split_file}: none of its {len(self.labels)} lines is {label!r}: the split "
                f"{split_name!r} has no pair"
            )
        return names

    def splits(self) -> list[str]:
        """Splits that have a pair."""
        return [name for name, label in SPLITS.items() if label in self.labels]

    def whole_names(self, split_name: str, skip_missing: bool, remedy: str) -> list[str]:
        """Names of the split's pairs whose three files exist.

        Raises:
            InputError: the folder holds pairs beyond the split file, a file is missing (unless
                ``skip_missing``; the message ends with ``remedy``), or all pairs lack one.
        """
        names = self.names(split_name)
        present = {entry.name for entry in os.scandir(self.data)}
        numbers = [int(name[:5]) for name in present if PAIR_FILE.fullmatch(name)]
        if max(numbers, default=0) > len(self.labels):
            raise InputError(
                f"{self.split_file}: {len(self.labels)} lines, but {self.data} holds the pair "
                f"{max(numbers):05d}: the split file is truncated, or of another data set"
            )
        incomplete = [name for name in names if any(name + end not in present for end in SUFFIXES)]
        if not incomplete:
            return names
        lost = set(incomplete)
        whole = [name for name in names if name not in lost]
        if skip_missing and whole:
            return whole
        if skip_missing:
            remedy = "none is left"
        first = next(incomplete[0] + end for end in SUFFIXES if incomplete[0] + end not in present)
        raise InputError(
            f"{self.data}: first missing {first}, {len(incomplete)} pairs incomplete of the "
            f"{len(names)} in the split {split_name!r}; {remedy}"
        )


def find_raw_folder(root: str | os.PathLike[str]) -> RawFolder:
    """Find the pairs and the split file below ``root`` and read the split file.

    Raises:
        InputError: one of them is missing, or the split file is damaged.
    """
    base = Path(root)
    data = _find(base, DATA_FOLDERS, "00001_img1.ppm ...")
    split_file = _find(base, SPLIT_FILES, "one line per pair")
    return RawFolder(data, split_file, _read_labels(split_file))


def _find(base: Path, candidates: Sequence[str], content: str) -> Path:
    for candidate in candidates:
        if (base / candidate).exists():
            return base / candidate
    state = "it has none of these" if base.is_dir() else "there is no such folder"
    raise InputError(
        f"{base}: not a raw FlyingChairs folder; looked in it for {' or '.join(candidates)} "
        f"({content}): {state}"
    )


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read this split file: {error}") from error
    labels = tuple(line.strip() for line in lines)
    for number, label in enumerate(labels, 1):
        if label not in SPLITS.values():
            raise InputError(
                f"{path}: line {number} is {label[:40]!r}; expected 1 (train) or 2 (val) on each "
                "line"
            )
    return labels


def read_pair(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one raw pair: (images uint8 RGB (H, W, 6), flow float32 (H, W, 2), bit for bit).

    Raises:
        InputError: a file is missing or damaged, or the three differ in size.
    """
    paths = [data / (name + end) for end in SUFFIXES]
    first, second, flow = read_ppm(paths[0]), read_ppm(paths[1]), read_flo(paths[2])
    for path, array in zip(paths[1:], (second, flow), strict=True):
        if array.shape[:2] != first.shape[:2]:
            raise InputError(
                f"{path}: {array.shape[1]}x{array.shape[0]} pixels, but {paths[0].name} has "
                f"{first.shape[1]}x{first.shape[0]}; the three files of a pair have one size"
            )
    images = np.empty((*first.shape[:2], 6), np.uint8)
    images[..., :3], images[..., 3:] = first, second
    return images, flow


def packer_command(root: str | os.PathLike[str], split_name: str) -> str:
    """The command that packs a split, for messages."""
    return (
        f"python3 tools/datasets/flyingchairs_packer.py --src-data-dir {root} "
        f"--split-name {split_name} --pack-type lmdb --num-workers {usable_cpus()}"
    )
