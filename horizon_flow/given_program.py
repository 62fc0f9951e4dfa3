"""A compiled program that a user has: it has one size, whatever the images have."""

from __future__ import annotations

import os

import numpy as np

from horizon.errors import InputError
from horizon.hbm import RANDOM_WEIGHTS, read_metadata
from horizon_flow.colour import fill_planes
from horizon_flow.program import CHANNELS, FlowProgram

Size = tuple[int, int]
LEAST_SCALE = 0.7
LEAST_SHARE = 0.25
"""Below these the flow of a picture was seen to be wrong by more than its own length."""


class GivenProgram(FlowProgram):
    """A program with what has to be known of it.

    Args:
        source: a .hbm file or its bytes.
        threads: of each run; None takes all cores.

    Attributes:
        random_weights: whether the program says that its weights are not trained.

    Raises:
        InputError: the file is missing or no valid program, or not one of an optical flow network.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, threads: int | None = None) -> None:
        super().__init__(source, threads)
        self.random_weights = _has_random_weights(source)

    def prepare(self, pair: np.ndarray, bgr: bool = False) -> np.ndarray:
        """The program's input for an image pair.

        Args:
            pair: uint8 (h, w, 6), image 1 then image 2, not larger than the program's.
            bgr: channels are B, G, R instead of R, G, B.

        Returns:
            uint8 (6, H, W), YUV444.

        Raises:
            InputError: a larger image, or another type or shape.
        """
        if pair.dtype != np.uint8 or pair.ndim != 3 or pair.shape[2] != CHANNELS:
            raise InputError(
                f"image pair: expected uint8 (H, W, 6), found {pair.dtype} {pair.shape}"
            )
        planes = np.empty((CHANNELS, *self.fitting(pair.shape[0], pair.shape[1])), np.uint8)
        fill_planes(pair[..., :3], planes[:3], bgr)
        fill_planes(pair[..., 3:], planes[3:], bgr)
        return planes

    def fitting(self, height: int, width: int) -> Size:
        """The program's size; InputError if images of ``height`` x ``width`` exceed it."""
        if height > self.size[0] or width > self.size[1]:
            raise InputError(
                f"{self.source}: takes images up to {self.size[1]}x{self.size[0]} pixels (width x "
                f"height), found {width}x{height}; compile a program for that size "
                "(compile_perf.py --size HEIGHT WIDTH) or use smaller images"
            )
        return self.size

    def warnings(self, size: Size, inner: Size) -> list[str]:
        """Warnings about the flow between images of this size, as sentences.

        Args:
            size: (H, W) of the images.
            inner: (h, w) to which they are scaled, within the program's size.
        """
        found = []
        if self.random_weights:
            found.append(
                f"{self.source}: its weights are RANDOM, so the flow means nothing; compile a "
                "trained checkpoint (compile_perf.py --ckpt FILE)"
            )
        scale = max(inner) / max(size)
        share = inner[0] * inner[1] / (self.size[0] * self.size[1])
        if scale < LEAST_SCALE or share < LEAST_SHARE:
            multiple = self.model.size_multiple
            fitting = " ".join(str(-(-side // multiple) * multiple) for side in size)
            found.append(
                f"images of {size[1]}x{size[0]} pixels in a program of "
                f"{self.size[1]}x{self.size[0]}: scaled to {scale:.0%}, they fill {share:.0%} of "
                "it, and the network was not trained for such pictures, so the flow may be wrong "
                f"by several pixels; compile a program for them (compile_perf.py --size {fitting})"
            )
        return found


def _has_random_weights(source: str | os.PathLike[str] | bytes) -> bool:
    try:
        return read_metadata(source).get("weights") == RANDOM_WEIGHTS
    except InputError:  # the executor needs no metadata: a program may have others or none
        return False
