"""Observers: from the real values that pass through a tensor to the step of its integers.

Quantisation is symmetric with zero point 0: ``real = q * scale``, ``|q| <= qmax``. An observer
chooses the clipping threshold ``t``, and the scale is ``max(t, FLOOR) / qmax``.

| name | threshold | state |
|---|---|---|
| ``minmax`` | the largest magnitude ever, times a margin | a number |
| ``moving_average`` | exponential average of the batches' largest magnitudes | a number |
| ``percentile`` | a percentile of all magnitudes | histogram |
| ``mse`` | smallest mean squared quantisation error | histogram |
| ``kl`` | smallest Kullback-Leibler divergence (Migacz 2017) | histogram |

The state is not part of the state dict, and no buffer: what was observed belongs to one process
until ``synchronize``, and DistributedDataParallel or a moving average of the weights would
overwrite or average buffers.
"""

from __future__ import annotations

import difflib
import inspect
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.scales.histogram import (
    BINS,
    Histogram,
    kl_threshold,
    mse_threshold,
    percentile_threshold,
)

FLOOR = 2.0**-14
"""The smallest threshold; a tensor whose largest magnitude is below counts as all zero."""


class Observer(nn.Module, ABC):
    """Base class. A subclass implements ``_update``, ``_threshold``, ``_merge`` and ``reset``.

    Args:
        qmax: the largest integer, 127 or 32767.
    """

    def __init__(self, qmax: int) -> None:
        super().__init__()
        if qmax < 1:
            raise InputError(f"qmax: found {qmax!r}; expected a positive integer: 127 or 32767")
        self.qmax = qmax
        self.reset()

    def reset(self) -> None:
        """Forget everything observed."""
        self._largest = -1.0

    @property
    def observed(self) -> bool:
        """Whether there were any values (after ``synchronize``: in any process)."""
        return self._largest >= 0

    @property
    def largest(self) -> float:
        """The largest magnitude so far; 0 before the first."""
        return max(self._largest, 0.0)

    @property
    def is_zero(self) -> bool:
        """Whether values were observed and all of them count as zero."""
        return self.observed and self._largest < FLOOR

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Take the real values of ``x``, any shape and float type, into account.

        Values are read as float32. One value per call travels to the CPU: the check for
        non-finite values needs it.

        Raises:
            ValueError: ``x`` is empty, or holds NaN or infinity (also: beyond float32).
        """
        if x.numel() == 0:
            raise ValueError(f"an observed tensor is empty: its shape is {tuple(x.shape)}")
        if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            x = x.float()
        smallest, largest = torch.aminmax(x)  # NaN propagates
        batch_largest = float(torch.maximum(-smallest, largest))
        if not math.isfinite(batch_largest):
            raise ValueError(f"a value in the observed tensor is not finite: {batch_largest}")
        self._update(x, batch_largest)
        self._largest = max(self._largest, batch_largest)

    def scale(self) -> float:
        """The step: ``real = q * scale``. At least ``FLOOR / qmax``.

        Raises:
            RuntimeError: nothing was observed.
        """
        if not self.observed:
            raise RuntimeError("no values were observed: run the model on calibration data first")
        threshold = FLOOR if self.is_zero else max(self._threshold(), FLOOR)
        return threshold / self.qmax

    def synchronize(self) -> None:
        """Give every process the statistics of all of them.

        A collective operation: every process calls it, for its observers in the same order,
        whether they observed anything or not. Without torch.distributed it does nothing.
        Calling it again changes nothing; after further batches it counts each batch once.
        """
        if several_processes():
            self._merge()
            self._largest = float(reduce_values([self._largest], dist.ReduceOp.MAX)[0])

    def _update(self, x: Tensor, batch_largest: float) -> None:
        """Take a batch into account; ``self._largest`` is still that of the batches before."""

    @abstractmethod
    def _threshold(self) -> float:
        """The clipping threshold for what was observed."""

    def _merge(self) -> None:
        """Merge what goes beyond ``largest`` with the other processes."""

    def extra_repr(self) -> str:
        return f"qmax={self.qmax}, largest={self.largest:g}"


class MinMaxObserver(Observer):
    """The largest magnitude ever, times ``margin`` (at least 1)."""

    def __init__(self, qmax: int, margin: float = 1.0) -> None:
        super().__init__(qmax)
        if not 1 <= margin < math.inf:
            raise InputError(f"margin: found {margin!r}; expected a factor of at least 1")
        self.margin = margin

    def _threshold(self) -> float:
        return self._largest * self.margin


class MovingAverageObserver(Observer):
    """``a += averaging_constant * (largest of the batch - a)``; the first batch initialises.

    ``synchronize`` takes the mean over the processes that observed anything.
    """

    def __init__(self, qmax: int, averaging_constant: float = 0.01) -> None:
        super().__init__(qmax)
        if not 0 < averaging_constant <= 1:
            raise InputError(
                f"averaging_constant: found {averaging_constant!r}; expected 0 < constant <= 1"
            )
        self.averaging_constant = averaging_constant

    def reset(self) -> None:
        super().reset()
        self._average = 0.0

    def _update(self, x: Tensor, batch_largest: float) -> None:
        if self.observed:
            self._average += self.averaging_constant * (batch_largest - self._average)
        else:
            self._average = batch_largest

    def _threshold(self) -> float:
        return self._average

    def _merge(self) -> None:
        total, processes = reduce_values(
            [self._average, 1.0] if self.observed else [0.0, 0.0], dist.ReduceOp.SUM
        ).tolist()
        self._average = total / max(processes, 1.0)


class HistogramObserver(Observer, ABC):
    """Base of the observers that need the distribution of the magnitudes.

    The merged histogram is kept beside the process's own, which further batches go to.
    """

    def reset(self) -> None:
        super().reset()
        self._own = Histogram()
        self._merged: Histogram | None = None

    @property
    def histogram(self) -> Histogram:
        """All processes' histogram after ``synchronize``; this one's after further batches."""
        return self._own if self._merged is None else self._merged

    def _update(self, x: Tensor, batch_largest: float) -> None:
        self._own.add(x, batch_largest)
        self._merged = None

    def _merge(self) -> None:
        merged = Histogram()
        merged.counts, merged.exponent = self._own.counts.clone(), self._own.exponent
        merged.grow(int(reduce_values([float(self._own.exponent)], dist.ReduceOp.MAX)[0]))
        device = _reduction_device()
        counts = torch.cat([merged.counts.cpu(), self._own.zeros.cpu()[None]]).to(device)
        dist.all_reduce(counts)
        merged.counts, merged.zeros = counts[:BINS].cpu(), counts[BINS].cpu()
        self._merged = merged


class PercentileObserver(HistogramObserver):
    """The value that ``percentile`` per cent of the magnitudes do not exceed.

    Exact zeros do not count unless ``count_zeros``: no scale changes their error, and without
    them the fraction that is clipped does not depend on how sparse a ReLU left the tensor. (With
    them, a tensor with more zeros than ``percentile`` per cent gets the smallest scale.)
    """

    def __init__(self, qmax: int, percentile: float = 99.99, count_zeros: bool = False) -> None:
        super().__init__(qmax)
        if not 0 < percentile <= 100:
            raise InputError(f"percentile: found {percentile!r}; expected 0 < percentile <= 100")
        self.percentile = percentile
        self.count_zeros = count_zeros

    def _threshold(self) -> float:
        threshold = percentile_threshold(self.histogram, self.percentile, self.count_zeros)
        return min(threshold, self._largest)


class MseObserver(HistogramObserver):
    """The threshold with the smallest mean squared error, of rounding and of clipping together."""

    def _threshold(self) -> float:
        return mse_threshold(self.histogram, self._largest, self.qmax)


class KlObserver(HistogramObserver):
    """The threshold that keeps the distribution most alike (Migacz, GTC 2017).

    The method compares a fine histogram with its merging to ``qmax + 1`` magnitudes. With more
    of those than half of the bins there is nothing to merge and any clipping only adds to the
    divergence: then, for 16 bits, the threshold is the largest magnitude.
    """

    def _threshold(self) -> float:
        if self.qmax + 1 > BINS // 2:
            return self._largest
        return kl_threshold(self.histogram, self._largest, self.qmax + 1)


OBSERVERS: dict[str, type[Observer]] = {
    "minmax": MinMaxObserver,
    "moving_average": MovingAverageObserver,
    "percentile": PercentileObserver,
    "mse": MseObserver,
    "kl": KlObserver,
}


def make_observer(name: str, qmax: int, **arguments: Any) -> Observer:
    """The observer called ``name`` in ``OBSERVERS``.

    Raises:
        InputError: unknown name, or an argument that the observer does not take or refuses.
    """
    if name not in OBSERVERS:
        near = difflib.get_close_matches(str(name), OBSERVERS, n=2, cutoff=0.4)
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise InputError(
            f"observer: unknown name {name!r}{hint}; choose one of {', '.join(OBSERVERS)}"
        )
    kind = OBSERVERS[name]
    known = [key for key in inspect.signature(kind).parameters if key != "qmax"]
    for key in arguments:
        if key not in known:
            raise InputError(
                f"observer {name!r}: unknown argument {key!r}; "
                f"it takes {', '.join(known) or 'no arguments'}: correct or remove the argument"
            )
    try:
        return kind(qmax, **arguments)
    except TypeError as error:
        raise InputError(
            f"observer {name!r}: an argument has the wrong type: {error}; found {arguments}"
        ) from error
    except InputError as error:
        raise InputError(f"observer {name!r}: {error}") from error


def _reduction_device() -> torch.device:
    """Where the process group's tensors must be."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def several_processes() -> bool:
    """Whether other processes observe as well, with which this one shares what it saw."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def reduce_values(values: list[float], operation: Any) -> Tensor:
    """``values`` of all processes, reduced elementwise: float64, (len(values),)."""
    tensor = torch.tensor(values, dtype=torch.float64, device=_reduction_device())
    dist.all_reduce(tensor, op=operation)
    return tensor
