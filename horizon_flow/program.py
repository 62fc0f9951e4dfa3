"""A compiled program of a flow network, as a function of image pairs.

A program has one size. Smaller images are padded at the bottom and on the right by repeating their
border, as the network itself pads, and the result is cropped.
"""

from __future__ import annotations

import os

import numpy as np

from horizon.errors import InputError
from horizon.hbm import RANDOM_WEIGHTS, read_metadata
from horizon.runtime import Model
from horizon_flow.colour import fill_planes

CHANNELS = 6
LEAST_SCALE = 0.7
LEAST_SHARE = 0.25
"""Below these the flow of a picture was seen to be wrong by more than its own length."""


class FlowProgram:
    """Runs a program on image pairs; many threads may do so at the same time.

    Args:
        source: a .hbm file or its bytes.
        threads: of each run; None takes all cores.
        name: of the program in messages; None takes the file's.

    Attributes:
        size: (H, W) of its images.
        reduction: how many times smaller the flow is.
        scales: (2, 1, 1), px per step of the flow's integers.
        random_weights: whether the program says that its weights are not trained.

    Raises:
        InputError: the file is missing or no valid program, or not one of an optical flow network.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        own = "the program" if isinstance(source, bytes) else os.fspath(source)
        self.source = own if name is None else name
        self.model = Model(source, threads)
        self._check()
        self.random_weights = _has_random_weights(source)
        (image,), (flow,) = self.model.inputs, self.model.outputs
        self.input_name, self.output_name = image.name, flow.name
        self.input_type = np.dtype(image.dtype)
        self.size: tuple[int, int] = (image.shape[2], image.shape[3])
        self.reduction = image.shape[2] // flow.shape[2]
        self.scales = np.broadcast_to(np.array(flow.scales), 2).reshape(2, 1, 1)

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
        for half in (slice(0, 3), slice(3, 6)):
            fill_planes(pair[..., half], planes[half], bgr)
        return planes

    def fitting(self, height: int, width: int) -> tuple[int, int]:
        """The program's size; InputError if images of ``height`` x ``width`` exceed it."""
        if height > self.size[0] or width > self.size[1]:
            raise InputError(
                f"{self.source}: takes images up to {self.size[1]}x{self.size[0]} pixels (width x "
                f"height), found {width}x{height}; compile a program for that size "
                "(compile_perf.py --size HEIGHT WIDTH) or use smaller images"
            )
        return self.size

    def warnings(self, size: tuple[int, int], inner: tuple[int, int]) -> list[str]:
        """What has to be known of the flow between images of a size, in sentences.

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

    def run(self, images: np.ndarray) -> np.ndarray:
        """The flow's integers, int32 (2, H / r, W / r), for uint8 YUV444 (6, H, W)."""
        if self.input_type == np.int8:
            images = (images ^ 0x80).view(np.int8)
        result = self.model.run({self.input_name: images[None]})[self.output_name]
        return result[0]

    def flow(self, integers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Integers of :meth:`run` as px: float32 (2, ceil(h / r), ceil(w / r)).

        Args:
            size: (h, w) of the images before they were padded.
        """
        rows, columns = (-(-side // self.reduction) for side in size)
        return (integers[:, :rows, :columns] * self.scales).astype(np.float32)

    def _check(self) -> None:
        shapes = [tuple(t.shape) for t in (*self.model.inputs, *self.model.outputs)]
        types = [np.dtype(t.dtype) for t in (*self.model.inputs, *self.model.outputs)]
        if len(shapes) == 2 and len(self.model.inputs) == 1:
            image, flow = shapes
            good = (
                image[:2] == (1, CHANNELS)
                and flow[:2] == (1, 2)
                and types[0] in (np.uint8, np.int8)
                and types[1] == np.int32
                and image[2] % flow[2] == image[3] % flow[3] == 0
                and image[2] // flow[2] == image[3] // flow[3]
            )
            if good:
                return
        found = ", ".join(f"{t} {s}" for t, s in zip(types, shapes, strict=True))
        raise InputError(
            f"{self.source}: not the program of an optical flow network: inputs and outputs are "
            f"{found}; expected an image pair uint8 or int8 (1, 6, H, W) and flow int32 "
            "(1, 2, H/4, W/4)"
        )


def _has_random_weights(source: str | os.PathLike[str] | bytes) -> bool:
    try:
        return read_metadata(source).get("weights") == RANDOM_WEIGHTS
    except InputError:  # the executor needs no metadata: a program may have others or none
        return False


def fitting_size(size: tuple[int, int], largest: tuple[int, int]) -> tuple[int, int]:
    """``size`` (H, W), scaled down in both directions alike if it exceeds ``largest``."""
    scale = min(1.0, *(most / side for most, side in zip(largest, size, strict=True)))
    height, width = (
        min(most, max(1, round(side * scale))) for most, side in zip(largest, size, strict=True)
    )
    return height, width
