"""The speed that has full colour, one for a whole sequence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hat.errors import InputError
from hat.sequences.estimators import Estimator
from hat.sequences.frames import Frames
from hat.visualize.scale import round_scale, typical_speed

SAMPLES = 5
# Speed, px, with full colour at the least. A network finds a few tenths of a pixel in the noise of
# cameras and compressed videos; where nothing else moves, that is to look nearly white.
LEAST = 5.0
STRIDE = 4  # pixels between those whose speed is looked at


class Scale:
    """A round speed, px, that nearly all pixels stay below, ``LEAST`` at the least.

    It is fixed before anything is drawn, by a few pairs from all over the sequence. A camera's
    frames are not known before; its scale begins with the first pair and grows where it must.

    Args:
        given: the user's speed; then nothing is looked at.
    """

    def __init__(self, given: float | None = None) -> None:
        self.fixed = given is not None
        self.value = given or 0.0

    def look_at(self, frames: Frames, estimate: Estimator) -> None:
        """Fix the scale, if it is not given and the source lets itself be looked at beforehand."""
        if self.fixed:
            return
        speeds: list[float] = []
        # A frame that cannot be read is told when its turn comes, as anywhere in a sequence.
        with contextlib.suppress(InputError):
            for flow in _flows(frames, estimate):
                speeds.append(self._speed(flow))
        if speeds:
            self.value, self.fixed = round_scale(max(speeds), LEAST), True

    def of(self, flow: np.ndarray) -> float:
        """The scale for the next flow of the sequence, (H, W, 2)."""
        if not self.fixed:
            self.value = max(self.value, round_scale(self._speed(flow), LEAST))
        return self.value

    @staticmethod
    def _speed(flow: np.ndarray) -> float:
        return typical_speed(flow[::STRIDE, ::STRIDE])


def _flows(frames: Frames, estimate: Estimator) -> Iterator[np.ndarray]:
    samples = frames.samples(SAMPLES)
    with ThreadPoolExecutor(1, "sample") as reading:  # the next pair while this one is computed
        coming = reading.submit(next, samples, None)
        while (found := coming.result()) is not None:
            coming = reading.submit(next, samples, None)
            first, second = found
            if first.shape != second.shape:
                continue  # that is told when its turn comes
            # As the sequence will be computed, so that no other program is compiled for this.
            if frames.stride == 2:
                yield estimate(first, second)
            else:
                yield from estimate.flows([first, second])
