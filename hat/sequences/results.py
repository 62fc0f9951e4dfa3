"""The files of a sequence's flows: which there will be, and writing those of one pair."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hat.data.files import staging_folder, write_file
from hat.data.flow_io import write_flo, write_kitti_png, write_npz
from hat.data.image_io import write_png
from hat.errors import InputError
from hat.sequences.frames import Frame
from hat.sequences.truth import read_truth
from hat.visualize.figure import Pair as Shown
from hat.visualize.figure import pair_figure
from hat.visualize.painter import FlowPainter

if TYPE_CHECKING:
    from hat.sequences.metrics import Metrics  # loads torch

# What is written of each pair, with the end of its file's name.
ENDINGS = {
    "flo": ".flo",
    "kitti": "_kitti.png",
    "npz": ".npz",
    "picture": "_flow.png",
    "figure": "_figure.png",
    "error": "_error.png",
}
VIDEO = "video"
KINDS = (*ENDINGS, VIDEO)
METRICS_FILE = "metrics.csv"


@dataclass(frozen=True)
class Pair:
    """Two frames, their flow, and what belongs to them.

    Attributes:
        number: of the pair in its sequence, from 0.
        flow: float32 (H, W, 2), px.
        scale: speed with full colour, px.
        truth: file of the true flow.
    """

    number: int
    first: Frame
    second: Frame
    flow: np.ndarray
    scale: float
    truth: Path | None = None


class Results:
    """Writes the files of pairs; many threads may do so at the same time.

    Args:
        folder: of the files.
        kinds: of :data:`ENDINGS`; ``"error"`` only where a pair has a true flow.
        pictures: draws them.
        video: draws the frames of a video; None: there is none.
        metrics: gets the errors of pairs with true flow.
        note: called with the folder that holds a pair's finished files, before they move.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[str],
        pictures: FlowPainter,
        video: FlowPainter | None = None,
        metrics: Metrics | None = None,
        note: Callable[[Path], None] | None = None,
    ) -> None:
        self.folder, self.kinds = folder, kinds
        self.pictures, self.video, self.metrics = pictures, video, metrics
        self._note = note
        self._figure = threading.Lock()  # matplotlib shares its fonts

    def write(self, pair: Pair) -> np.ndarray | None:
        """Write a pair's files, all of them or none.

        Returns:
            Its frame of the video, uint8 RGB, if there is one.

        Raises:
            InputError: a file that cannot be written, a flow that its format cannot hold, or a
                true flow that cannot be read or has another size.
        """
        check_finite(pair.flow, pair.first.name)
        image, flow, name = pair.first.image, pair.flow, pair.first.name
        truth = None if pair.truth is None else read_truth(pair.truth, flow.shape[:2])
        if truth is not None and self.metrics is not None:
            self.metrics.add(pair.number, name, flow, *truth)
        if self.kinds:
            with staging_folder(self.folder) as staging:
                self._write_files(staging, name, pair, truth)
                if self._note is not None:
                    self._note(staging)
        return None if self.video is None else self.video.paint(image, flow, pair.scale)

    def _write_files(
        self,
        staging: Path,
        name: str,
        pair: Pair,
        truth: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        flow = pair.flow
        file = {kind: staging / f"{name}{ending}" for kind, ending in ENDINGS.items()}
        for kind in self.kinds:
            if kind == "flo":
                write_flo(file[kind], flow)
            elif kind == "kitti":
                write_kitti_png(file[kind], flow)
            elif kind == "npz":
                write_npz(file[kind], flow)
            elif kind == "picture":
                write_png(file[kind], self.pictures.paint(pair.first.image, flow, pair.scale))
            elif kind == "figure":
                shown = Shown(pair.first.image, pair.second.image, flow, *(truth or ()))
                with self._figure:
                    content = pair_figure(shown, pair.scale)
                write_file(file[kind], content)
            elif truth is not None:
                error = np.hypot(*np.moveaxis(flow - truth[0], 2, 0))
                write_png(file[kind], self.pictures.paint_error(error, truth[1]))


def names_of(kinds: Sequence[str], frame: str, truth: bool) -> list[str]:
    """The files of a pair by the name of its first frame, which may be a pattern."""
    return [frame + ENDINGS[kind] for kind in kinds if kind != "error" or truth]


def check_finite(flow: np.ndarray, name: str) -> None:
    """InputError if a flow (H, W, 2) is NaN or infinite somewhere."""
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(flow.sum()):  # of a sum, twenty times as quick as of each value
            return
    bad = int(np.count_nonzero(~np.isfinite(flow).all(axis=2)))
    if bad:
        raise InputError(
            f"{name}: the network's flow is NaN or infinite in {bad} of {flow[..., 0].size} "
            "pixels; its weights are damaged or its training failed: use another checkpoint"
        )
