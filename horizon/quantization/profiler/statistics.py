"""What values each layer of one stage puts out, and how they use their integers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from horizon.quantization.profiler.layers import Call, Value, run, value_of, watched
from horizon.quantization.qtensor import LIMITS

BINS = 128


@dataclass(frozen=True)
class Histogram:
    """Counts in ``BINS`` equal bins over -reach .. reach; reach is a power of two."""

    reach: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LayerStatistics:
    """One layer's output over all images, in real numbers.

    Attributes:
        layer, kind: name and class, in the order of execution.
        minimum, maximum, mean, deviation: of the values; ``deviation`` is the standard deviation.
        zeros: share of the values that are exactly 0.
        silent_channels: channels that are 0 in every pixel of every image.
        channels: how many there are.
        peak: largest absolute value over the standard deviation. The larger, the more a range
            that holds every value spends on a few outliers.
        bits, scale_low, scale_high: of the integers and their smallest and largest step (equal
            with one scale per tensor); None in floating point.
        saturated: share of the values at the first or last integer.
        used: the largest absolute integer over the largest possible one.
        histogram: of the values.
    """

    layer: str
    kind: str
    minimum: float
    maximum: float
    mean: float
    deviation: float
    zeros: float
    silent_channels: int
    channels: int
    peak: float
    bits: int | None
    scale_low: float | None
    scale_high: float | None
    saturated: float | None
    used: float | None
    histogram: Histogram


class _Collector:
    def __init__(self, layer: str, kind: str) -> None:
        self.layer, self.kind = layer, kind
        self.count = self.zeros = self.saturated = 0
        self.total = self.squares = 0.0
        self.minimum, self.maximum = math.inf, -math.inf
        self.loud: Tensor | None = None
        self.bits: int | None = None
        self.scales: tuple[float, float] | None = None
        self.used = 0.0
        self.reach = 0.0
        self.counts = torch.zeros(BINS, dtype=torch.int64)

    def add(self, value: Value) -> None:
        real = value.real
        self.count += real.numel()
        self.zeros += int((real == 0).sum())
        self.total += float(real.sum())
        self.squares += float(real.square().sum())
        self.minimum = min(self.minimum, float(real.min()))
        self.maximum = max(self.maximum, float(real.max()))
        pixels = [axis for axis in range(real.dim()) if axis != 1]
        loud = (real != 0).any(dim=pixels) if real.dim() > 1 else real != 0
        self.loud = loud if self.loud is None else self.loud | loud
        if value.step is not None:
            assert value.bits is not None
            low, high = LIMITS[value.bits]
            integers = value.integers
            self.saturated += int(((integers <= low) | (integers >= high)).sum())
            self.used = max(self.used, float(integers.abs().max()) / high)
            self.bits = value.bits
            self.scales = (float(value.step.min()), float(value.step.max()))
        self._count_bins(real)

    def _count_bins(self, real: Tensor) -> None:
        largest = float(real.abs().max())
        if largest == 0:
            reach = self.reach or 1.0
        else:
            reach = max(self.reach, 2.0 ** math.ceil(math.log2(largest)))
        # Bins of twice the width hold two old ones each; the range grows evenly about 0.
        while 0 < self.reach < reach:
            pairs = self.counts.reshape(-1, 2).sum(dim=1)
            self.counts = torch.zeros_like(self.counts)
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = pairs
            self.reach *= 2
        self.reach = reach
        counts = torch.histc(real.float(), BINS, -reach, reach)
        self.counts += counts.long().cpu()

    def result(self) -> LayerStatistics:
        mean = self.total / self.count
        deviation = math.sqrt(max(0.0, self.squares / self.count - mean**2))
        largest = max(abs(self.minimum), abs(self.maximum))
        assert self.loud is not None
        quantised = self.scales is not None
        return LayerStatistics(
            self.layer,
            self.kind,
            self.minimum,
            self.maximum,
            mean,
            deviation,
            self.zeros / self.count,
            int((~self.loud).sum()),
            self.loud.numel(),
            largest / deviation if deviation else 0.0,
            self.bits,
            self.scales[0] if self.scales else None,
            self.scales[1] if self.scales else None,
            self.saturated / self.count if quantised else None,
            min(1.0, self.used) if quantised else None,
            Histogram(self.reach, tuple(self.counts.tolist())),
        )


def layer_statistics(model: nn.Module, batches: Iterable[Any]) -> list[LayerStatistics]:
    """Run ``model`` on the batches and describe the output of each layer.

    Raises:
        InputError: values that are not finite.
    """
    collectors: dict[str, _Collector] = {}

    def collect(call: Call) -> None:
        value = value_of(call.output, call.key)
        if value is not None:
            kind = type(call.module).__name__
            collectors.setdefault(call.key, _Collector(call.key, kind)).add(value)

    for batch in batches:
        with watched(model, collect):
            run(model, batch)
    return [collector.result() for collector in collectors.values()]
