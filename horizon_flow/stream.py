"""A video's frames through a program, one after the other."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from horizon_flow.program import FlowProgram, Program, VideoProgram


class Stream(Protocol):
    """Keeps of each frame what the next flow needs."""

    @property
    def program(self) -> Program:
        """The program that runs."""

    def next(self, planes: np.ndarray) -> np.ndarray | None:
        """The flow's integers from the frame before to this one; None for the first.

        Args:
            planes: uint8 YUV444 (3, H, W), which belong to the stream from now on.
        """


class PlaneStream:
    """Keeps a frame's planes, for a program of pairs."""

    def __init__(self, program: FlowProgram) -> None:
        self.program: FlowProgram = program
        self._before: np.ndarray | None = None

    def next(self, planes: np.ndarray) -> np.ndarray | None:
        before, self._before = self._before, planes
        return None if before is None else self.program.run(np.concatenate([before, planes]))


class FeatureStream:
    """Keeps a frame's features."""

    def __init__(self, program: VideoProgram) -> None:
        self.program = program
        self._features: list[np.ndarray] | None = None

    def next(self, planes: np.ndarray) -> np.ndarray | None:
        before = self._features
        given = self.program.no_features() if before is None else before
        flow, self._features = self.program.run(planes, given)
        return None if before is None else flow
