"""Where frames come from: pictures, a video, a camera.

A source is iterated once. It gives uint8 RGB (H, W, 3), all of one size, and says beforehand how
many there are, where that is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from hat.data.image_io import read_image
from hat.errors import InputError

# The decoder says nothing of damaged packets on the terminal, unless somebody wants to know.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
PICTURE_RATE = 10.0  # frames per second of a video that is made of pictures


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        image: uint8 RGB (H, W, 3).
        name: for the files that are made of it.
    """

    image: np.ndarray
    name: str


class Frames(Protocol):
    """A source of frames.

    Attributes:
        label: what the source is, for messages and for the name of a video.
        rate: frames per second.
        count: frames, or None where nobody knows; of a video what its file says.
        stride: how many frames later the second one of a pair begins the next pair: 1, so that
            each frame but the first and the last is in two pairs, or 2, pairs side by side.
    """

    label: str
    rate: float
    count: int | None
    stride: int

    def __iter__(self) -> Iterator[Frame]: ...

    def samples(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Up to ``count`` of the pairs, from all over the source; none of a camera."""
        ...

    def pair_names(self) -> list[str] | None:
        """Names of the pairs' first frames; None if the number of frames is unknown."""
        ...


def pairs_of(frames: Frames) -> int | None:
    """How many pairs a source has, if it is known."""
    if frames.count is None:
        return None
    return frames.count // 2 if frames.stride == 2 else max(frames.count - 1, 0)


def pairs(frames: Frames) -> Iterator[tuple[Frame, Frame]]:
    """The frames two by two; each must have the size of the first.

    Raises:
        InputError: fewer than two frames, an odd one left over, or one of another size.
    """
    first: Frame | None = None
    leader: Frame | None = None
    count = 0
    for frame in frames:
        count += 1
        leader = leader or frame
        if frame.image.shape != leader.image.shape:
            raise InputError(
                f"{frames.label}: {frame.name} has {_size(frame)} pixels and {leader.name} "
                f"{_size(leader)}; all frames must have one size: resize or crop them, or name "
                "those of one size by a pattern"
            )
        if first is None:
            first = frame
            continue
        yield first, frame
        first = None if frames.stride == 2 else frame
    if count < 2:
        found = "one frame is" if count else "no frames are"
        raise InputError(
            f"{frames.label}: {found} left to take; flow needs two at the least. See --start, "
            "--every and --frames"
        )


def _size(frame: Frame) -> str:
    return f"{frame.image.shape[1]}x{frame.image.shape[0]}"


class Pictures:
    """Picture files in the given order.

    Args:
        files: at least two.
        stride: see :class:`Frames`.
        rate: of a video that is made of them.
    """

    def __init__(
        self, files: Sequence[Path], label: str, stride: int = 1, rate: float = PICTURE_RATE
    ) -> None:
        if len(files) < 2:
            found = files[0] if files else "nothing"
            raise InputError(f"{label}: one picture, {found}; flow needs two at the least")
        if stride == 2 and len(files) % 2:
            raise InputError(
                f"{label}: {len(files)} pictures cannot be taken two by two; the last one is "
                f"{files[-1]}"
            )
        self.files = list(files)
        self.label, self.stride, self.rate = label, stride, rate
        self.count: int | None = len(files)

    def __iter__(self) -> Iterator[Frame]:
        for file in self.files:
            yield Frame(read_image(file), file.stem)

    def samples(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        last = pairs_of(self)
        assert last is not None
        for index in spread(last, count):
            place = index * self.stride
            yield read_image(self.files[place]), read_image(self.files[place + 1])

    def pair_names(self) -> list[str] | None:
        return [file.stem for file in self.files[:: self.stride]][: pairs_of(self)]


class Video:
    """The frames of a video file, by OpenCV.

    Args:
        path: of the file.
        start: frames to leave out at the beginning.
        limit: frames to read at most, None: all.
        every: 1: all frames, 2: each second one, and so on.

    Raises:
        InputError: no such file, or none that OpenCV reads.
    """

    stride = 1

    def __init__(
        self, path: Path, start: int = 0, limit: int | None = None, every: int = 1
    ) -> None:
        self.path, self.start, self.limit, self.every = path, start, limit, every
        self.label = str(path)
        capture = open_capture(path)
        try:
            self.announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            rate = float(capture.get(cv2.CAP_PROP_FPS))
            ok, _ = capture.read()
        finally:
            capture.release()
        if not ok:
            raise InputError(f"{path}: this video has no frame that OpenCV can decode")
        # Some containers say nothing, or something absurd, such as a time base.
        self.rate = (rate if 0.5 <= rate <= 1000 else 25.0) / every
        self.count: int | None = None
        if self.announced > 0:
            usable = -(-max(self.announced - start, 0) // every)
            self.count = usable if limit is None else min(usable, limit)
            if usable == 0:
                raise InputError(
                    f"{path}: has {self.announced} frames, and --start leaves {start} of them out"
                )

    def __iter__(self) -> Iterator[Frame]:
        capture = open_capture(self.path)
        try:
            yield from _read(
                capture, self.path.stem, start=self.start, limit=self.limit, every=self.every
            )
        finally:
            capture.release()

    def samples(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Found by jumps, where the file says how many frames it has; else at its beginning."""
        capture = open_capture(self.path)
        try:
            known = pairs_of(self)
            for index in spread(known if known is not None else 1, count):
                capture.set(cv2.CAP_PROP_POS_FRAMES, float(self.start + index * self.every))
                found = [frame.image for frame in _read(capture, self.path.stem, 0, 2, self.every)]
                if len(found) == 2:
                    yield found[0], found[1]
        finally:
            capture.release()

    def pair_names(self) -> list[str] | None:
        count = pairs_of(self)
        if count is None:
            return None
        return [_name(self.path.stem, self.start + i * self.every) for i in range(count)]


class Camera:
    """The frames of a camera, until it ends, ``limit`` frames are read, or the reader stops.

    Args:
        index: as OpenCV counts cameras, from 0.

    Raises:
        InputError: there is no such camera, or it gives no picture.
    """

    stride = 1

    def __init__(self, index: int, limit: int | None = None, every: int = 1) -> None:
        self.index, self.limit, self.every = index, limit, every
        self.label = f"camera{index}"
        self._capture = open_capture(index)
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = (rate if 0.5 <= rate <= 1000 else 25.0) / every
        self.count = limit

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from _read(self._capture, self.label, 0, self.limit, self.every)
        finally:
            self._capture.release()

    def samples(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return iter(())

    def pair_names(self) -> list[str] | None:
        return None


def spread(total: int, count: int) -> list[int]:
    """Up to ``count`` of the indices below ``total``, evenly from all over."""
    count = min(total, count)
    return [(2 * index + 1) * total // (2 * count) for index in range(count)]


def open_capture(source: Path | int) -> cv2.VideoCapture:
    """OpenCV's reader of a file or a camera; InputError if it opens neither."""
    if isinstance(source, int):
        capture = cv2.VideoCapture(source)
        if not capture.isOpened():
            raise InputError(
                f"camera {source}: OpenCV cannot open it; is there one, and may this user read it "
                f"(/dev/video{source})?"
            )
        return capture
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    with open(source, "rb"):  # OpenCV does not say that it may not be read
        pass
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:  # the error below says more than OpenCV's own remark
        capture = cv2.VideoCapture(os.fspath(source), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        raise InputError(
            f"{source}: neither a picture nor a video that OpenCV can read; expected pictures "
            "(PNG, JPEG, PPM ...), a folder of them, or a video (MP4, AVI, MKV, MOV, WebM ...)"
        )
    return capture


def _read(
    capture: cv2.VideoCapture, name: str, start: int, limit: int | None, every: int
) -> Iterator[Frame]:
    for _ in range(start):
        if not capture.grab():
            return
    position, given = start, 0
    while limit is None or given < limit:
        ok, image = capture.read()
        if not ok:
            return
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), _name(name, position))
        given += 1
        for _ in range(every - 1):
            if not capture.grab():
                return
        position += every


def _name(source: str, position: int) -> str:
    return f"{source}_{position:06d}"
