"""Data sets that lie in their published files: which pairs there are, and reading one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from hat.data.datasets.flow_pairs import FlowPairs, Sample
from hat.data.flow_io import read_flow
from hat.data.image_io import read_image, read_mask
from hat.errors import InputError
from hat.paths import also_tried, find_input

__all__ = ["FilePairs", "PairFiles", "PairOptions"]

SHOWN = 3  # missing files, and names in a folder, that a message tells


@dataclass(frozen=True)
class PairFiles:
    """The files of one pair, by paths as texts: a data set has tens of thousands of them.

    Attributes:
        name: unique in its data set; what ``only`` and ``without`` select by.
        flow: true flow, from image 1 to image 2, in px of the images.
        masks: by key. ``gt_occlusion``, ``gt_object``: a picture, 1 where it is not black;
            ``gt_noc``: a flow, 1 where it is known; ``invalid``: a picture, true flow is unknown
            where it is not black.
        subset: metrics are given for each subset as well, if there are several.
    """

    name: str
    image1: str
    image2: str
    flow: str | None = None
    masks: Mapping[str, str] = field(default_factory=dict)
    subset: str = ""

    def files(self) -> list[str]:
        flow = [] if self.flow is None else [self.flow]
        return [self.image1, self.image2, *flow, *self.masks.values()]


class PairOptions(TypedDict, total=False):
    """The arguments that every class derived from :class:`FilePairs` takes besides its own."""

    transforms: Sequence[Callable[..., Sample]] | None
    to_rgb: bool
    seed: int
    only: str | Sequence[str] | None
    without: str | Sequence[str] | None
    with_masks: bool
    max_flow: float | None
    skip_missing: bool


class FilePairs(FlowPairs):
    """Pairs in files. Samples are those of :class:`FlowPairs`, with ground truth where it is known:

    ================ ==========================================================================
    ``gt_flow``      float32 (H, W, 2), px, 0 where unknown
    ``gt_valid``     uint8 (H, W), 1 where the flow is known
    ``gt_occlusion`` uint8 (H, W), 1 where a pixel of image 1 is not visible in image 2
    ``gt_noc``       uint8 (H, W), 1 where the flow is known and the pixel visible in image 2
    ``gt_object``    uint8 (H, W), 1 on objects that move by themselves
    ================ ==========================================================================

    The last three are there for all pairs of a data set or for none.

    Args:
        data_path: the data set's folder.
        pairs: all that the data set has.
        transforms, to_rgb, seed: see :class:`FlowPairs`.
        only: a pattern of names, such as ``"*/alley_1/*"``, or a list: no others are taken.
        without: a pattern, or a list: these are left out.
        with_masks: whether samples have the masks other than ``gt_valid``.
        max_flow: px; a faster pixel counts as unknown.
        skip_missing: leave out pairs of which a file is missing.

    Raises:
        InputError: no pair, or a missing file; when reading: a damaged file, or files of
            different sizes.
    """

    def __init__(
        self,
        data_path: Path,
        pairs: Iterable[PairFiles],
        *,
        transforms: Sequence[Callable[..., Sample]] | None = None,
        to_rgb: bool = True,
        seed: int = 0,
        only: str | Sequence[str] | None = None,
        without: str | Sequence[str] | None = None,
        with_masks: bool = True,
        max_flow: float | None = None,
        skip_missing: bool = False,
    ) -> None:
        if max_flow is not None and not max_flow > 0:
            raise ValueError(f"max_flow is a speed above 0 px or None, found {max_flow!r}")
        self.data_path = data_path
        self.with_masks, self.max_flow = with_masks, max_flow
        self.pairs = self._whole(self._selected(list(pairs), only, without), skip_missing)
        self.has_truth = self.pairs[0].flow is not None
        super().__init__([pair.name for pair in self.pairs], transforms, to_rgb, seed)

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Show the options in the signature, where configs are checked against it."""
        super().__init_subclass__(**arguments)
        own = inspect.signature(cls.__init__).parameters.values()
        options = inspect.signature(FilePairs.__init__).parameters.values()
        kinds = inspect.Parameter
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                *[one for one in list(own)[1:] if one.kind is not kinds.VAR_KEYWORD],
                *[one for one in options if one.kind is kinds.KEYWORD_ONLY],
            ]
        )

    @property
    def subsets(self) -> list[str]:
        """The parts of the data set that metrics are given for, in order; one or more."""
        return list(dict.fromkeys(pair.subset for pair in self.pairs))

    def subset_of(self, index: int) -> str:
        return self.pairs[index].subset

    def submission_path(self, index: int) -> str:
        """The file of a pair's flow in a submission to the data set's benchmark.

        Raises:
            InputError: it has none, or none whose format is known here.
        """
        raise InputError(
            f"{self.data_path}: there is no submission format for {type(self).__name__}; those "
            "of Sintel, KITTI2012 and KITTI2015 are known. hat infer writes flow of any images"
        )

    def _read(self, index: int) -> dict[str, np.ndarray]:
        files = self.pairs[index]
        images = [read_image(files.image1), read_image(files.image2)]
        size = images[0].shape[:2]
        self._check_size(files.image2, images[1], files.image1, size)
        arrays = {"img": np.concatenate(images, axis=2)}
        if files.flow is None:
            return arrays
        flow, valid = self._read_flow(files.flow)
        self._check_size(files.flow, flow, files.image1, size)
        for key, path in files.masks.items():
            if key != "invalid" and not self.with_masks:
                continue
            mask = read_flow(path)[1] if key == "gt_noc" else read_mask(path)
            self._check_size(path, mask, files.image1, size)
            if key == "invalid":
                valid &= 1 - mask
            else:
                arrays[key] = mask
        if self.max_flow is not None:
            valid &= (np.hypot(flow[..., 0], flow[..., 1]) <= self.max_flow).astype(np.uint8)
        flow *= valid[..., None]
        return {"img": arrays.pop("img"), "gt_flow": flow, "gt_valid": valid, **arrays}

    def _read_flow(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        """True flow in px of the images, and where it is known."""
        return read_flow(path)

    def _selected(
        self,
        pairs: list[PairFiles],
        only: str | Sequence[str] | None,
        without: str | Sequence[str] | None,
    ) -> list[PairFiles]:
        if not pairs:
            raise InputError(
                f"{self.data_path}: no pair of {type(self).__name__} in it; found "
                f"{_listing(self.data_path)}"
            )
        chosen = pairs
        if only is not None:
            chosen = [pair for pair in chosen if _matches(pair.name, only)]
        if without is not None:
            chosen = [pair for pair in chosen if not _matches(pair.name, without)]
        if not chosen:
            raise InputError(
                f"{self.data_path}: only={only!r} and without={without!r} leave none of the "
                f"{len(pairs)} pairs; a name is, for example, {pairs[0].name!r}"
            )
        return chosen

    def _whole(self, pairs: list[PairFiles], skip_missing: bool) -> list[PairFiles]:
        """The pairs of which every file is there."""
        folders: dict[str, set[str]] = {}

        def missing(file: str) -> bool:
            folder, _, name = file.rpartition("/")
            if folder not in folders:
                folders[folder] = set(names_in(folder))
            return name not in folders[folder]

        lacking = {id(pair): [file for file in pair.files() if missing(file)] for pair in pairs}
        lost = list(dict.fromkeys(file for files in lacking.values() for file in files))
        whole = [pair for pair in pairs if not lacking[id(pair)]]
        if lost and not (skip_missing and whole):
            shown = ", ".join(lost[:SHOWN]) + (" ..." if len(lost) > SHOWN else "")
            remedy = "; set skip_missing=True to go without these pairs" if whole else ""
            raise InputError(
                f"{self.data_path}: {len(pairs) - len(whole)} of {len(pairs)} pairs lack a file, "
                f"{len(lost)} files in all: {shown}{remedy}"
            )
        return whole

    @staticmethod
    def _check_size(path: str, array: np.ndarray, image1: str, size: tuple[int, ...]) -> None:
        if array.shape[:2] != tuple(size):
            raise InputError(
                f"{path}: {array.shape[1]}x{array.shape[0]} pixels, but {image1} has "
                f"{size[1]}x{size[0]}"
            )


def root_folder(data_path: str, name: str, inside: str, *others: str) -> Path:
    """The folder of a data set, which must hold one of the paths ``inside`` and ``others``.

    Args:
        name: of the data set, for the message.

    Raises:
        InputError: none of them is there.
    """
    root = find_input(data_path)
    if any((root / one).is_dir() for one in (inside, *others)):
        return root
    found = f"found {_listing(root)}" if root.is_dir() else f"no such folder{also_tried(data_path)}"
    looked = " or ".join(str(root / one) for one in (inside, *others))
    raise InputError(f"{root}: no {name} here; looked for {looked}: {found}")


def choice(value: str, allowed: Iterable[str], argument: str) -> str:
    """``value``; ValueError unless it is one of ``allowed``."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(f"{argument} is one of {', '.join(allowed)}, found {value!r}")
    return value


def choices(values: Sequence[str], allowed: Iterable[str], argument: str) -> list[str]:
    """``values`` as a list; ValueError unless each is one of ``allowed``, and there is one."""
    values = [values] if isinstance(values, str) else list(values)
    if not values:
        raise ValueError(f"{argument} is empty; give some of {', '.join(allowed)}")
    return [choice(value, allowed, argument) for value in values]


def names_in(folder: str | Path) -> list[str]:
    """The names of all entries of a folder, sorted; none where it does not exist."""
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _matches(name: str, patterns: str | Sequence[str]) -> bool:
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listing(folder: Path) -> str:
    names = names_in(folder)
    return (", ".join(names[: 2 * SHOWN]) + (" ..." if len(names) > 2 * SHOWN else "")) or "nothing"
