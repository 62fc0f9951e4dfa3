"""Movement of a quantised tensor's elements: reshapes, permutations, shuffles, flips, paddings.

Whatever functions move the elements, in however many steps: what counts is where each element
comes from. That is found by carrying out the same steps on a map of numbers, and where the result
is a map again, the movement is written with slices, concats and convolutions that copy
(:mod:`horizon.quantization.movement.gather`). In between, a tensor may have any shape; nothing
but another movement can be done with it then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

from horizon.errors import InputError
from horizon.quantization.calls import operate
from horizon.quantization.movement.forms import gather_of
from horizon.quantization.movement.gather import Gather
from horizon.quantization.qtensor import Intercepted, QTensor

_KNOWN: dict[tuple[Any, ...], Gather | None] = {}
_MANY = 512
ALIKE = (
    *(functional.pad, torch.pixel_shuffle, functional.pixel_shuffle),
    *(torch.pixel_unshuffle, functional.pixel_unshuffle),
    *(torch.channel_shuffle, functional.channel_shuffle),
)
"""Functions that do the same with every image, so that one shows what they do."""


@dataclass(frozen=True)
class Step:
    """A call that moves elements: ``function(x, *args, **kwargs)``."""

    function: Callable
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self, x: Tensor) -> Tensor:
        try:
            return self.function(x, *self.args, **self.kwargs)
        except (RuntimeError, IndexError, NotImplementedError) as error:
            name = getattr(self.function, "__name__", "?")
            reason = str(error).splitlines()[0]
            shape = tuple(x.shape)
            raise InputError(f"torch.{name} on a quantised tensor {shape}: {reason}") from error


@dataclass(frozen=True, eq=False)
class Rearranged(Intercepted):
    """A quantised tensor whose elements have been moved so that it is no map at the moment.

    Attributes:
        source: the map that they come from.
        steps: what has been done with it since.
        values: the elements as they lie now.
    """

    source: QTensor
    steps: tuple[Step, ...]
    values: Tensor

    @property
    def ndim(self) -> int:
        return self.values.dim()

    def size(self, *dim: int) -> Any:
        return self.values.size(*dim)

    def replayed(self, x: Tensor) -> Tensor:
        """Apply the recorded steps to ``x``, which has the shape of ``source``."""
        for step in self.steps:
            x = step(x)
        return x

    def __getattr__(self, name: str) -> Any:
        """Methods of ``torch.Tensor``."""
        method = None if name.startswith("_") else getattr(torch.Tensor, name, None)
        if not callable(method):
            raise AttributeError(name)
        return lambda *args, **kwargs: operate(method, (self, *args), kwargs)


def rearranged(
    function: Callable, x: QTensor | Rearranged, *args: Any, **kwargs: Any
) -> QTensor | Rearranged:
    """What a function gives that only moves the elements of its first argument, or repeats them.

    Returns:
        A quantised map where the elements make one again; otherwise a :class:`Rearranged`.

    Raises:
        InputError: a map that no copying convolution can make (rows and columns exchanged).
    """
    step = Step(function, args, kwargs)
    start = Rearranged(x, (), x.values) if isinstance(x, QTensor) else x
    now = replace(start, steps=(*start.steps, step), values=step(start.values))
    source = now.source
    if now.values.dim() != 4 or len(now.values) != len(source.values):
        return now
    gather = _gather_of(now)
    if gather is None:
        return now
    if source.recorder is not None:
        return gather.record(source)
    return replace(source, values=now.values, scale=gather.scale_of(source), name="")


def _gather_of(moved: Rearranged) -> Gather | None:
    """Where the elements of a map come from; None where they make no map of the source's."""
    batch, *map_shape = moved.source.shape
    alike = all(step.function in ALIKE for step in moved.steps)
    shape = (1 if alike else batch, *map_shape)
    key = (shape, *((s.function, _text((s.args, s.kwargs))) for s in moved.steps))
    if key not in _KNOWN:
        if len(_KNOWN) >= _MANY:
            _KNOWN.clear()
        # From 1 on: 0 is what padding adds. Real numbers, because torch pads no other by mirrors.
        numbers = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
        with torch.no_grad():
            places = moved.replayed(numbers.view(shape)).long() - 1
        _KNOWN[key] = gather_of(places.numpy(), shape)
    return _KNOWN[key]


def _text(value: Any) -> str:
    """Arguments as text, whole: torch and numpy leave out the middle of long arrays."""
    return repr(tree_map(lambda x: x.tolist() if isinstance(x, Tensor | np.ndarray) else x, value))


def refuse_rearranged(layer: str, *inputs: Any) -> None:
    """InputError where a tensor that is no map at the moment reaches a layer."""
    for x in inputs:
        if isinstance(x, Rearranged):
            done = ", ".join(getattr(step.function, "__name__", "?") for step in x.steps)
            raise InputError(
                f"{layer}: its input is a quantised tensor {tuple(x.source.shape)} of which {done} "
                f"made {tuple(x.shape)}; expected a map (N, C, H, W) whose rows and columns are "
                "those of that map, shifted, cut, repeated, flipped or interleaved: bring the axes "
                "back into their order before the layer, or let the network end there"
            )
