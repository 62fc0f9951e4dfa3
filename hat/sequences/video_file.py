"""A video that is written while it is computed, under a temporary name until it is complete."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from hat.errors import InputError
from horizon.staging import new_staging_folder, remove_staging_folder

# What OpenCV's encoder writes and common players read, by the suffix of the file. H.264 is in none
# of its packages. Browsers play .webm only; its encoder needs ten times as long.
CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}


def is_video_name(path: Path) -> bool:
    """Whether a video could have this name."""
    return path.suffix.lower() in CODECS


class VideoFile:
    """Frames to a video file; the name appears when :meth:`publish` is called.

    Args:
        path: the suffix decides the container and the codec.
        rate: frames per second.

    Raises:
        InputError: a suffix that is no video's.
    """

    def __init__(self, path: Path, rate: float) -> None:
        if not is_video_name(path):
            raise InputError(
                f"{path}: {path.suffix or 'no suffix'} is no video that can be written here; "
                f"expected one of {', '.join(CODECS)}"
            )
        self.path, self.rate = path, rate
        self.frames = 0
        self._folder: Path | None = None  # of the temporary file, whose suffix must be a video's
        self._writer: cv2.VideoWriter | None = None  # the size comes with the first frame
        self._size = (0, 0)

    def write(self, image: np.ndarray) -> None:
        """Append uint8 RGB (H, W, 3); each must have the size of the first.

        An odd size is made even by repeating the last row or column, which the codecs need.

        Raises:
            InputError: the video cannot be begun.
            ValueError: an image of another size.
        """
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            self._writer, self._size = self._open(size), size
        if size != self._size:
            raise ValueError(f"{self.path}: a frame of {size} pixels in a video of {self._size}")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def publish(self, note: Callable[[Path], None] | None = None) -> None:
        """Close the video and give it its name; without a frame there is none.

        Args:
            note: called with the folder that holds the finished file, before it moves.

        Raises:
            InputError: the last frame cannot be read back, as on a full disk; the folder is gone.
        """
        self._close()
        if self._folder is None:
            return
        temporary = self._folder / self.path.name
        try:
            if not _has_frame(temporary, self.frames - 1):
                raise OSError(0, "its last frame cannot be read back; is the disk full?")
            if note is not None:
                note(self._folder)
            os.replace(temporary, self.path)
        except OSError as error:
            raise InputError(f"{self.path}: cannot write this video: {error.strerror}") from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Close the video and remove what there is of it; nothing after :meth:`publish`."""
        self._close()
        if self._folder is not None:
            remove_staging_folder(self._folder)
            self._folder = None

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        self._folder = new_staging_folder(self.path.parent)
        code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        file = os.fspath(self._folder / self.path.name)
        with _silent():
            writer = cv2.VideoWriter(file, cv2.CAP_FFMPEG, code, self.rate, size)
        if not writer.isOpened():
            self.discard()
            raise InputError(
                f"{self.path}: OpenCV cannot begin a video of {size[0]}x{size[1]} pixels here; "
                "expected a folder with room, in which files can be made"
            )
        return writer


def _has_frame(file: Path, index: int) -> bool:
    capture = cv2.VideoCapture(os.fspath(file), cv2.CAP_FFMPEG)
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, float(index))
        return bool(capture.read()[0])
    finally:
        capture.release()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the encoder's remarks on names of codecs, which it prints past Python."""
    sys.stderr.flush()
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
