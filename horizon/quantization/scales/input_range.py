"""Whether the numbers that enter a network fit the fixed step of its input."""

from __future__ import annotations

import logging
import math

import torch
import torch.distributed as dist
from torch import Tensor

from horizon.quantization.qtensor import LIMITS
from horizon.quantization.scales.observers import reduce_values, several_processes

logger = logging.getLogger(__name__)

CLIPPED = 0.01
"""Share of the input beyond its range that no longer happens by rounding."""
WATCHED = 4
"""Batches that training and evaluation look at; a wrong normalisation shows in the first."""
SMALLEST_PART = 8
"""Inputs that reach over less than one in so many of the integers are normalised wrongly."""
NORMALISATION = "for images that is Normalize with mean=128 and std=128: (uint8 - 128) / 128"


class InputRange:
    """Counts what lies beyond the range of an input's integers, and how many of them it uses.

    A value counts as clipped where it is more than one step beyond the last integer: images that
    were interpolated or converted in floating point may be off by one.

    Args:
        layer: the QuantStub's name.
        bits: of its integers.
    """

    def __init__(self, layer: str, bits: int) -> None:
        self.layer = layer
        self.low, self.high = LIMITS[bits]
        self.values = self.clipped = self.batches = 0
        self.scale = 0.0
        self.smallest, self.largest = math.inf, -math.inf

    @torch.no_grad()
    def add(self, x: Tensor, scale: float) -> None:
        """Take real numbers of any shape into account; non-finite ones are for others to refuse."""
        if x.numel() == 0:
            return
        steps = x.float() / scale
        self.scale = scale
        self.batches += 1
        self.values += steps.numel()
        beyond = (steps < self.low - 1) | (steps > self.high + 1)
        self.clipped += int(beyond.sum())
        smallest, largest = (float(end) for end in torch.aminmax(steps))
        self.smallest = min(self.smallest, smallest)
        self.largest = max(self.largest, largest)

    def synchronize(self) -> None:
        """Give every process the counts of all; a collective operation, as for the observers."""
        if not several_processes():
            return
        counts = reduce_values([self.values, self.clipped], dist.ReduceOp.SUM).tolist()
        self.values, self.clipped = (int(count) for count in counts)
        ends = reduce_values([-self.smallest, self.largest, self.scale], dist.ReduceOp.MAX).tolist()
        self.smallest, self.largest, self.scale = -ends[0], ends[1], ends[2]

    @property
    def clipped_share(self) -> float:
        return self.clipped / max(self.values, 1)

    def clipping(self) -> str | None:
        """What to say about values beyond the range; None if there are none."""
        if not self.clipped:
            return None
        low, high = self.low * self.scale, self.high * self.scale
        found = f"{self.smallest * self.scale:.4g} to {self.largest * self.scale:.4g}"
        return (
            f"{self.layer}: {100 * self.clipped_share:.2g} % of the input lies beyond the range of "
            f"its fixed step {self.scale:.6g}, {low:.4g} to {high:.4g}, and is clipped (found "
            f"{found}); normalise the input to that range ({NORMALISATION}), or give the QuantStub "
            "the scale that fits"
        )

    def waste(self) -> str | None:
        """What to say about an input that reaches over few integers; None if it is well spread."""
        if not self.values or self.clipped or not math.isfinite(self.largest - self.smallest):
            return None
        first, last = math.floor(self.smallest + 0.5), math.floor(self.largest + 0.5)
        count = self.high - self.low + 1
        if first == last or (last - first + 1) * SMALLEST_PART >= count:
            return None
        return (
            f"{self.layer}: the input reaches over {last - first + 1} of its {count} integers "
            f"({first} to {last}, step {self.scale:.6g}): most of its detail is lost; normalise it "
            f"to {self.low * self.scale:.4g} to {self.high * self.scale:.4g} ({NORMALISATION}), "
            "or give the QuantStub the scale that fits"
        )

    def half(self) -> str | None:
        """What to say about an input that never changes its sign; None if it does."""
        if not self.values or self.clipped or not (self.smallest > -0.5 or self.largest < 0.5):
            return None
        if self.largest - self.smallest < 1:
            return None
        side = "below" if self.smallest > -0.5 else "above"
        return (
            f"{self.layer}: no value of the input is {side} 0, so that half of its integers are "
            f"never used; subtract the mean ({NORMALISATION})"
        )


class InputWatch:
    """Warns once where the first batches of a run do not fit the step that their input has."""

    def __init__(self, layer: str, bits: int) -> None:
        self.range: InputRange | None = InputRange(layer, bits)

    def look(self, x: Tensor, scale: Tensor) -> None:
        """Take real numbers into account that are quantised with ``scale``, ()."""
        watched = self.range  # another thread that uses the same model may end the watch meanwhile
        if watched is None:
            return
        watched.add(x, float(scale))
        message = watched.clipping() if watched.clipped_share > CLIPPED else None
        message = message or (watched.waste() if watched.batches >= WATCHED else None)
        if message is not None and self.range is watched:
            logger.warning("%s", message)
        if message is not None or watched.batches >= WATCHED:
            self.range = None
