"""The steps from images to flow: planes, the program's integers, px."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon_flow.colour import fill_planes
from horizon_flow.images import one_image
from horizon_flow.program import CHANNELS, Program
from horizon_flow.resize import enlarged, fitting_size, scaled_down, scaled_flow
from horizon_flow.sources import Size
from horizon_flow.stream import Stream


def convert(image: np.ndarray, planes: np.ndarray, channels: str) -> None:
    """An image (H, W, 3) or (H, W) to a program's planes (3, H', W')."""
    inner = fitting_size(image.shape[:2], planes.shape[1:])
    fill_planes(scaled_down(image, inner), planes, channels == "BGR")


def finish(program: Program, integers: np.ndarray, size: Size) -> np.ndarray:
    """The integers of a program as float32 (H, W, 2), px, for images of ``size`` (H, W)."""
    inner = fitting_size(size, program.size)
    flow = program.flow(integers, inner)
    return scaled_flow(enlarged(flow, program.reduction, inner), size)


class VideoSteps:
    """The steps from a video's frames to its flow.

    :meth:`convert` and :meth:`finish` may run in any thread, also at the same time as :meth:`next`,
    which takes the frames one after the other.

    Args:
        stream: the stream of the video.
        size: (H, W) of its frames.
        channels: "RGB" or "BGR".
    """

    def __init__(self, stream: Stream, size: Size, channels: str) -> None:
        self._stream, self._size, self._channels = stream, size, channels

    def convert(self, frame: Any, name: str) -> np.ndarray:
        """A frame as the program reads it, uint8 (3, H, W).

        Args:
            frame: see :meth:`horizon_flow.FlowModel.video`.
            name: for messages.

        Raises:
            InputError: a frame of another type or size, or a batch.
        """
        image = one_image(frame, name)
        if image.shape[:2] != self._size:
            raise InputError(
                f"{name}: found {image.shape[:2]} pixels (height, width), expected {self._size} as "
                "the first frame has; resize or crop it"
            )
        planes = np.empty((CHANNELS // 2, *self._stream.program.size), np.uint8)
        convert(image, planes, self._channels)
        return planes

    def next(self, planes: np.ndarray) -> np.ndarray | None:
        """The integers of the flow from the frame before to this one; None for the first."""
        return self._stream.next(planes)

    def finish(self, integers: np.ndarray) -> np.ndarray:
        """These integers as float32 (H, W, 2), px."""
        return finish(self._stream.program, integers, self._size)
