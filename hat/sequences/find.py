"""What the words of a command line name: picture files, folders, patterns, a video, a camera."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from hat.errors import InputError
from hat.sequences.frames import PICTURE_RATE, Camera, Frames, Pictures, Video

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".bmp", ".dib", ".tif", ".tiff", ".webp"}
)
CAMERA = re.compile(r"[0-9]{1,4}")
SHOWN = 4  # names in a message


def find_frames(
    words: Sequence[str],
    *,
    side_by_side: bool = False,
    rate: float | None = None,
    start: int = 0,
    limit: int | None = None,
    every: int = 1,
) -> Frames:
    """The source that the words name.

    Args:
        words: pictures, folders of pictures or patterns of them, in this order; or one video; or
            one camera index.
        side_by_side: pictures are pairs, 1 and 2, 3 and 4 ...
        rate: frames per second of the source, instead of its own.
        start, limit, every: which frames are taken, see :class:`hat.sequences.frames.Video`.

    Raises:
        InputError: nothing there, a mixture of kinds, or nothing that can be read.
    """
    if len(words) == 1 and not _is_pictures(words[0]):
        source: Frames
        if CAMERA.fullmatch(words[0]) and not Path(words[0]).exists():
            if start:
                raise InputError("--start with a camera: it has no frames to leave out")
            source = Camera(int(words[0]), limit, every)
        else:
            source = Video(Path(words[0]), start, limit, every)
        if side_by_side:
            raise InputError(f"{words[0]}: --pairs is for pictures, not for a video or a camera")
        if rate is not None:
            source.rate = rate / every
        return source
    files = [file for word in words for file in _pictures(word)]
    label = words[0] if len(words) == 1 else f"{words[0]} ... {words[-1]}"
    if not side_by_side:
        files = files[start::every][:limit]
    elif start or every != 1 or limit is not None:
        raise InputError("--pairs with --start, --frames or --every: name the pairs by a pattern")
    return Pictures(files, label, 2 if side_by_side else 1, (rate or PICTURE_RATE) / every)


def find_files(word: str, suffixes: Iterable[str], what: str) -> list[Path]:
    """Files that a folder, a pattern or a path names, in natural order.

    Raises:
        InputError: there is none.
    """
    path, wanted = Path(word), frozenset(suffixes)
    if path.is_dir():
        found = [one for one in path.iterdir() if one.suffix.lower() in wanted and one.is_file()]
        found = [one for one in found if not one.name.startswith(".")]
        if not found:
            raise InputError(
                f"{path}: no {what} in this folder; expected files that end in "
                f"{', '.join(sorted(wanted))}"
            )
    elif path.exists():
        found = [path]
    elif glob.has_magic(word):
        _look_into(path)
        found = [Path(one) for one in glob.glob(word, recursive=True) if Path(one).is_file()]
        if not found:
            raise InputError(f"{word}: no file has a name like this")
    else:
        raise InputError(f"{word}: no such file or folder")
    return sorted(found, key=natural_order)


def natural_order(path: Path) -> tuple[str, list[tuple[int, str]], str]:
    """Order by folder, then by name with numbers as numbers: frame_9 before frame_10."""
    parts = re.split(r"(\d+)", path.name)
    key = [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
    return str(path.parent), key, path.name


def look_like_pairs(files: Sequence[Path]) -> bool:
    """Whether the names are those of several pairs side by side, such as those of FlyingChairs
    (00001_img1, 00001_img2, 00002_img1 ...) and KITTI (000000_10, 000000_11, 000001_10 ...).
    """
    found = [re.fullmatch(r"(.*?)(\d+)", file.stem) for file in files]
    names = [(match[1], int(match[2])) for match in found if match]
    firsts, seconds = names[::2], names[1::2]
    if len(names) < len(files) or len(firsts) != len(seconds) or len(firsts) < 2:
        return False
    numbers = {(a[1], b[1]) for a, b in zip(firsts, seconds, strict=True)}
    together = all(a[0] == b[0] for a, b in zip(firsts, seconds, strict=True))
    several = len({name for name, _ in firsts}) == len(firsts)
    return together and several and len(numbers) == 1


def _look_into(pattern: Path) -> None:
    """OSError if the last folder before the first star may not be looked into; glob is silent."""
    folder = next(one for one in pattern.parents if not glob.has_magic(str(one)))
    if folder.is_dir():
        os.scandir(folder).close()


def _is_pictures(word: str) -> bool:
    path = Path(word)
    if path.is_dir() or (glob.has_magic(word) and not path.exists()):
        return True
    return path.suffix.lower() in PICTURE_SUFFIXES


def _pictures(word: str) -> list[Path]:
    files = find_files(word, PICTURE_SUFFIXES, "pictures")
    others = [file for file in files if file.suffix.lower() not in PICTURE_SUFFIXES]
    if others:
        raise InputError(
            f"{others[0]}: no picture; give one video alone, or pictures, folders and patterns of "
            "pictures"
        )
    if Path(word).is_dir():
        _check_one_kind(word, files)
    return files


def _check_one_kind(word: str, files: Sequence[Path]) -> None:
    """A folder with pictures of several kinds of names holds more than one sequence."""
    kinds = Counter(re.sub(r"\d+", "*", file.stem) + file.suffix for file in files)
    if len(kinds) > 1 and max(kinds.values()) > 1:
        shown = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(SHOWN))
        likely = Path(word) / kinds.most_common(1)[0][0]
        raise InputError(
            f"{word}: pictures of {len(kinds)} kinds of names: {shown}; name the frames by a "
            f"pattern, such as '{likely}'"
        )
