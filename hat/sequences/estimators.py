"""What computes the flow: a compiled program, or a config's network in torch."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Size = tuple[int, int]


class Steps(Protocol):
    """The flow of a sequence in steps, of which only :meth:`next` needs the frames in order."""

    def convert(self, frame: np.ndarray, name: str) -> np.ndarray:
        """A frame as the next step reads it; ``name`` is for messages."""
        ...

    def next(self, planes: np.ndarray) -> np.ndarray | None:
        """What the flow from the frame before is made of; None for the first frame."""
        ...

    def finish(self, integers: np.ndarray) -> np.ndarray:
        """The flow, float32 (H, W, 2), px."""
        ...


class Estimator(Protocol):
    """Flow of images, uint8 RGB (H, W, 3), as float32 (H, W, 2), px.

    Attributes:
        text: what computes, for the user.
        file: that is read; None: none of the user's.
    """

    text: str
    file: Path | None

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray: ...

    def flows(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The flow from each image to the next one."""
        ...

    def steps(self, image: np.ndarray) -> Steps:
        """The steps of :meth:`flows` for images of the size of this one."""
        ...

    def describe(self, size: Size) -> str:
        """What computes the flow of images of ``size`` (H, W), and what is done with them."""
        ...


class ProgramEstimator:
    """A compiled program, by :class:`horizon_flow.FlowModel`.

    Args:
        model: a network that comes with the package, or a path of one or of a compiled program.
        threads: of each run; None takes all cores.
        channels: order of the images' colours, "RGB" or "BGR".

    Raises:
        InputError: no such network or file.
    """

    def __init__(self, model: str, threads: int | None = None, channels: str = "RGB") -> None:
        from horizon_flow import FlowModel  # not needed where a config's network computes

        self._model = FlowModel(model, threads=threads, channels=channels)
        self.text = f"{model}, compiled"
        self.file = Path(model) if Path(model).is_file() else None

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return self._model(first, second)

    def flows(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return self._model.video(images)  # which converts each image once

    def steps(self, image: np.ndarray) -> Steps:
        return self._model.video_steps(image)

    def describe(self, size: Size) -> str:
        from horizon_flow.resize import fitting_size

        own = self._model.size
        if own is None:
            return self.text
        text = f"{self._model.name}, a program of {own[1]}x{own[0]} pixels"
        inner = fitting_size(size, own)
        if inner != size:
            text += f"; images scaled down to {inner[1]}x{inner[0]}"
        if inner != own:
            text += "; border repeated up to the program's size, flow cropped"
        return text


class PairEstimator:
    """A function of two images."""

    def __init__(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray], text: str) -> None:
        self._function, self.text = function, text
        self.file: Path | None = None

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return self._function(first, second)

    def flows(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for first, second in pairwise(images):
            yield self._function(first, second)

    def steps(self, image: np.ndarray) -> Steps:
        return _PairSteps(self._function)

    def describe(self, size: Size) -> str:
        return self.text


class _PairSteps:
    """All in one step."""

    def __init__(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        self._function = function
        self._before: np.ndarray | None = None

    def convert(self, frame: np.ndarray, name: str) -> np.ndarray:
        return frame

    def next(self, planes: np.ndarray) -> np.ndarray | None:
        before, self._before = self._before, planes
        return None if before is None else self._function(before, planes)

    def finish(self, integers: np.ndarray) -> np.ndarray:
        return integers


@contextlib.contextmanager
def warnings_told() -> Iterator[None]:
    """What a model warns of, as lines for the user; each once."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _tell
        yield


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)
