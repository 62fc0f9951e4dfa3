"""Optical flow as a function of two images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon.runtime import check_threads
from horizon_flow.cache import cache_folder
from horizon_flow.images import image_batch, one_image
from horizon_flow.program import CHANNELS, FlowProgram
from horizon_flow.sources import Size, find_source
from horizon_flow.steps import VideoSteps, convert, finish

CHANNEL_ORDERS = ("RGB", "BGR")


class FlowModel:
    """Estimates the motion between two images, in integers on the CPU.

    The network is compiled once for each image size, which takes a fraction of a second, and kept
    in a folder (``docs/flow_model.md``). Many threads may use a model at the same time.

    Args:
        model: a network that comes with the package ("pwcnet_lite", or "pwcnet_small", which is
            more precise and takes three times as long), or a path: a network for any image size
            (.npz, from ``hat export-network``) or a compiled program (.hbm, from ``hat
            compile-perf``). A program has one size: smaller images are padded, larger ones scaled
            down to fit, and their flow scaled up again.
        channels: the order of colours, "RGB" or "BGR" (as OpenCV reads images).
        threads: of each run; None takes all cores that the process may use.
        cache_dir: where compiled programs are kept; None takes the environment variable
            HORIZON_FLOW_CACHE, or the platform's folder for caches.

    Attributes:
        name: of the network, or the path.
        size: (H, W) of a compiled program; None: any size.

    Raises:
        InputError: no such network or file, a file of another kind, or a bad argument.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "pwcnet_lite",
        *,
        channels: str = "RGB",
        threads: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if channels not in CHANNEL_ORDERS:
            raise InputError(f"channels {channels!r}; expected {' or '.join(CHANNEL_ORDERS)}")
        check_threads(threads)
        if not isinstance(model, str | os.PathLike):
            raise InputError(
                f"model: found {model!r}, expected the name of a network or the path of a file"
            )
        self.name = os.fspath(model)
        self.channels = channels
        self._threads, self._cache_dir = threads, cache_dir
        self._source = find_source(self.name, threads, cache_folder(cache_dir))
        self.size: Size | None = self._source.size

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes make the model anew: a program in memory cannot be handed over."""
        options: dict[str, Any] = {"threads": self._threads, "cache_dir": self._cache_dir}
        return partial(FlowModel, self.name, channels=self.channels, **options), ()

    def __call__(self, image1: Any, image2: Any) -> np.ndarray:
        """The flow from ``image1`` to ``image2``.

        Args:
            image1, image2: of one size, each uint8 (H, W, 3), grey (H, W), or a batch (N, H, W, 3):
                numpy arrays, Pillow images, or torch tensors, whose channels may come first.

        Returns:
            float32 (H, W, 2), or (N, H, W, 2) for batches: (u, v) for each pixel of ``image1``, px
            to the right and down.

        Raises:
            InputError: images of another type or shape, or of two sizes.
        """
        first, batch = image_batch(image1, "image1")
        second, _ = image_batch(image2, "image2")
        if first.shape[:3] != second.shape[:3]:
            raise InputError(
                f"image1 has shape {np.shape(image1)} and image2 {np.shape(image2)}; flow needs "
                "two images of one size: resize or crop one of them"
            )
        program = self._source.program(_size(first[0]))
        if not batch:
            return self._of_pair(program, first[0], second[0])
        flows = np.empty((*first.shape[:3], 2), np.float32)
        for flow, *pair in zip(flows, first, second, strict=True):
            flow[:] = self._of_pair(program, *pair)
        return flows

    def video(self, frames: Iterable[Any]) -> Iterator[np.ndarray]:
        """The flow from each frame to the next one: n - 1 flows for n frames.

        What is computed of a frame alone is computed once: its conversion, and the network's
        features where the network lets them be told apart (``docs/flow_model.md``). A frame is read
        when a flow is asked for.

        Args:
            frames: images of one size, as in a call; no batches.

        Raises:
            InputError: a frame of another type or size, or a batch; a path instead of frames.
        """
        if isinstance(frames, str | bytes | os.PathLike):
            raise InputError(
                f"video: found the path {os.fspath(frames)!r}, expected frames, one after the "
                "other; read them, for instance with cv2.VideoCapture and channels='BGR'"
            )
        return self._flows(frames)

    def _flows(self, frames: Iterable[Any]) -> Iterator[np.ndarray]:
        steps: VideoSteps | None = None
        for number, given in enumerate(frames):
            if steps is None:
                steps = self.video_steps(given)
            integers = steps.next(steps.convert(given, f"frame {number}"))
            if integers is not None:
                yield steps.finish(integers)

    def video_steps(self, frame: Any) -> VideoSteps:
        """The steps of :meth:`video`, for a caller with threads of its own.

        Args:
            frame: the first one, for its size.
        """
        size = _size(one_image(frame, "frame 0"))
        return VideoSteps(self._source.stream(size), size, self.channels)

    def _of_pair(self, program: FlowProgram, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """float32 (H, W, 2) between two images (H, W, 3) or (H, W)."""
        planes = np.empty((CHANNELS, *program.size), np.uint8)
        convert(first, planes[:3], self.channels)
        convert(second, planes[3:], self.channels)
        return finish(program, program.run(planes), _size(first))


def _size(image: np.ndarray) -> Size:
    return image.shape[0], image.shape[1]
