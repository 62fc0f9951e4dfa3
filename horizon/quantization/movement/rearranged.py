"""Movement of a quantised tensor's elements: reshapes, permutations, shuffles, flips, paddings.

Whatever functions move the elements, in however many steps: what counts is where each element
comes from. That is found by carrying out the same steps on a map of numbers, and where the result
is a map again, the movement is written with slices, concats and convolutions that copy
(:mod:`horizon.quantization.movement.gather`). In between, a tensor may have any shape; nothing
but another movement can be done with it then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
from horizon.quantization.movement.gather import Gather, Separable
from horizon.quantization.qtensor import Intercepted, QTensor

_KNOWN: dict[tuple[Any, ...], Any] = {}
_MANY = 512
_ORIGIN = "_moved_from"
"""Attribute of a map that was moved: from which map, and how."""
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

    @property
    def has_new_zeros(self) -> bool:
        """Whether zeros have been put between the elements, or around them."""
        return any(step.function is functional.pad for step in self.steps)

    def with_source(self, source: QTensor) -> Rearranged:
        """Another map of the same size, moved in the same way."""
        return replace(self, source=source, values=self.replayed(source.values))

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
    now = moved(function, x, *args, **kwargs)
    best = best_form(now)
    if best is None:
        return now
    gather, source = best.gather, best.source
    if source.recorder is not None:
        result = gather.record(source)
    else:
        result = replace(source, values=now.values, scale=gather.scale_of(source), name="")
    return result if result is source else _moved_from(result, now)


def with_values(x: QTensor, values: Tensor) -> QTensor:
    """``x`` with other values of the same elements, moved from the same map."""
    return _moved_from(replace(x, values=values), getattr(x, _ORIGIN, None))


def _moved_from(x: QTensor, origin: Rearranged | None) -> QTensor:
    # Not a field: what layers make of x by ``replace`` has not been moved from there.
    object.__setattr__(x, _ORIGIN, origin)
    return x


def moved(function: Callable, x: QTensor | Rearranged, *args: Any, **kwargs: Any) -> Rearranged:
    """:func:`rearranged`, without asking whether the result is a map."""
    step = Step(function, args, kwargs)
    start = Rearranged(x, (), x.values) if isinstance(x, QTensor) else x
    return replace(start, steps=(*start.steps, step), values=step(start.values))


@dataclass(frozen=True)
class Form:
    """How a program makes a map of moved elements, from which map."""

    gather: Gather
    source: QTensor

    @property
    def passes(self) -> int:
        """Over all elements, by convolutions or exchanges."""
        return int(not isinstance(self.gather, Separable))


def best_form(x: Rearranged) -> Form | None:
    """The cheapest form; None where what was moved is no map, or a program cannot make it.

    A movement of a map that was moved itself may have a simpler form seen from the map before, as
    where a second movement undoes the first.
    """
    if x.values.dim() != 4 or len(x.values) != len(x.source.values):
        return None
    found = []
    moved: Rearranged | None = x
    while moved is not None:
        gather = _gather_of(moved)
        if gather is not None:
            found.append(Form(gather, moved.source))
        before: Rearranged | None = getattr(moved.source, _ORIGIN, None)
        moved = before and replace(before, steps=(*before.steps, *moved.steps), values=x.values)
    return min(found, key=lambda form: form.passes, default=None)


def maps_of(operands: Sequence[Any]) -> tuple[Rearranged, list[Any]] | None:
    """Operands of a function of each element by itself: it does not matter where these lie.

    Returns:
        The first moved tensor, and the operands with maps in the place of what was moved; None
        where nothing was moved, or tensors differ in how.
    """
    x = next((x for x in operands if isinstance(x, Rearranged)), None)
    if x is None or x.has_new_zeros:
        return None
    for other in operands:
        if isinstance(other, Rearranged) and not moved_alike(x, other):
            return None
        if isinstance(other, QTensor | Tensor):
            return None
    return x, [other.source if isinstance(other, Rearranged) else other for other in operands]


def moved_alike(x: Rearranged, y: Rearranged) -> bool:
    """Whether each element of both lies at the same place of its map."""
    shape = tuple(x.source.shape)
    if shape != tuple(y.source.shape) or x.shape != y.shape:
        return False
    key = _steps_key(x), _steps_key(y)
    if key[0] == key[1]:
        return True
    return _remembered((shape, *key), lambda: torch.equal(_places(x, shape), _places(y, shape)))


def _gather_of(moved: Rearranged) -> Gather | None:
    """Where the elements of a map come from; None where they make no map of the source's."""
    batch, *map_shape = moved.source.shape
    alike = all(step.function in ALIKE for step in moved.steps)
    shape = (1 if alike else batch, *map_shape)
    key = (shape, _steps_key(moved))
    return _remembered(key, lambda: gather_of(_places(moved, shape).numpy(), shape))


def _places(moved: Rearranged, shape: tuple[int, ...]) -> Tensor:
    """The place of each element in a map of this shape, ``ZERO`` for what padding adds."""
    # From 1 on: 0 is what padding adds. Real numbers, because torch pads no other by mirrors.
    numbers = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    with torch.no_grad():
        return moved.replayed(numbers.view(shape)).long() - 1


def _steps_key(moved: Rearranged) -> tuple[Any, ...]:
    return tuple((s.function, _text((s.args, s.kwargs))) for s in moved.steps)


def _remembered(key: tuple[Any, ...], find: Callable[[], Any]) -> Any:
    """``find()``, which is asked once for a key, as long as there is room."""
    if key not in _KNOWN:
        if len(_KNOWN) >= _MANY:
            _KNOWN.clear()
        _KNOWN[key] = find()
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
