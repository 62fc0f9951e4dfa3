"""True flow beside the frames: which file belongs to which pair."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import numpy as np

from hat.data.flow_io import read_flow
from hat.errors import InputError
from hat.sequences.find import find_files

FLOW_SUFFIXES = (".flo", ".pfm", ".png")  # of several kinds in a folder the first is taken


def match_truth(word: str, names: Sequence[str]) -> dict[int, Path]:
    """True flows by the number of their pair.

    A flow belongs to the pair whose first frame has its name (``frame_0002.flo`` and
    ``frame_0002.png``). If no flow has the name of a frame, the numbers in the names are compared
    (``00001_flow.flo`` and ``00001_img1.ppm``), and if that decides nothing, there must be as many
    flows as pairs, and they belong together in order. Pairs may be without a flow, unless the
    order decides.

    Args:
        word: a folder, a pattern or one file.
        names: of the first frames of the pairs, without suffix.

    Raises:
        InputError: no flows, or flows that match no pair.
    """
    files = find_files(word, FLOW_SUFFIXES, "flow files")
    if Path(word).is_dir():  # the frames may lie beside them, and they may be .png
        first = next(s for s in FLOW_SUFFIXES if any(file.suffix.lower() == s for file in files))
        files = [file for file in files if file.suffix.lower() == first]
    for key in (_name, _first_number):
        found = _by_key(files, names, key)
        if found:
            return found
    if len(files) == len(names):
        return dict(enumerate(files))
    raise InputError(
        f"{word}: {len(files)} flows for {len(names)} pairs, and no flow has the name of a frame "
        f"(the first are {files[0].name} and {names[0] if names else 'none'}); give each flow the "
        "name of the first frame of its pair, or as many flows as pairs"
    )


def read_truth(path: str | Path, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """True flow and its mask; InputError unless it has the images' size (H, W)."""
    flow, valid = read_flow(path)
    if flow.shape[:2] != size:
        raise InputError(
            f"{path}: true flow of {flow.shape[1]}x{flow.shape[0]} pixels for images of "
            f"{size[1]}x{size[0]}"
        )
    return flow, valid


def _by_key(
    files: Sequence[Path], names: Sequence[str], key: Callable[[str], Hashable]
) -> dict[int, Path]:
    """Matches by a key that both sides have once; empty if one side has a key twice or none."""
    keys = [key(name) for name in names]
    if None in keys or len(set(keys)) != len(keys):
        return {}
    place = {one: index for index, one in enumerate(keys)}
    found: dict[int, Path] = {}
    for file in files:
        index = place.get(key(file.stem))
        if index is not None and index in found:
            return {}
        if index is not None:
            found[index] = file
    return found


def _name(stem: str) -> str:
    return stem


def _first_number(stem: str) -> int | None:
    number = re.search(r"\d+", stem)
    return int(number[0]) if number else None
