"""Which use of a layer runs, and who answers a call on a quantised tensor.

A layer may run several times in one forward pass of a network: each time is a use, with scales of
its own, and its number is the ordinal of the call in that pass. :func:`watch_passes` makes a
network tell when a pass begins and ends. ``x + y`` and ``torch.cat`` on quantised tensors come to
:func:`operate`, which passes them to the caller that was registered last (:func:`answering`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from torch import nn

from horizon.errors import InputError


class Caller(Protocol):
    """Carries out functions of torch on quantised tensors."""

    def __call__(
        self, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any: ...


class _State(threading.local):
    """The passes and callers that are active in this thread."""

    def __init__(self) -> None:
        self.passes: list[Counter[nn.Module]] = []
        self.callers: list[Caller] = []
        self.use: int | None = None


_STATE = _State()
_LAST_RESORT: list[Caller] = []


def numbered(name: str, use: int) -> str:
    """The name of a layer's use: its own for the first, a number behind it for later ones."""
    return f"{name}.{use}" if use else name


def watch_passes(model: nn.Module) -> None:
    """Count the uses of the layers in every forward pass of ``model``."""
    if _begin not in model._forward_pre_hooks.values():
        model.register_forward_pre_hook(_begin, prepend=True)
        model.register_forward_hook(_end, always_call=True)


def next_use(layer: Any, name: str, known: int | None) -> int:
    """The ordinal of this call of ``layer``; ``known`` uses it has, None if nobody counted them.

    Raises:
        InputError: a call that is one more than are known.
    """
    if _STATE.use is not None:
        return _STATE.use
    if not _STATE.passes:
        if known is not None and known > 1:
            raise InputError(
                f"{name}: it has {known} uses with scales of their own, and was called outside of "
                "a forward pass of the network that it was prepared in; call the network"
            )
        return 0
    count = _STATE.passes[-1]
    use = count[layer]
    count[layer] += 1
    if known is None:
        return 0
    if use >= known:
        raise InputError(
            f"{name}: call number {use + 1} in one forward pass, and the example input that the "
            f"network was prepared with led to {known}; a use that appears only sometimes cannot "
            "have scales: prepare with an example that reaches every use, or give the place a "
            "layer of its own"
        )
    return use


@contextmanager
def at_use(use: int) -> Iterator[None]:
    """Within the block, layers that are called run their use number ``use``."""
    before, _STATE.use = _STATE.use, use
    try:
        yield
    finally:
        _STATE.use = before


def operate(function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Carry out a function of torch on quantised tensors; InputError if there is no way."""
    caller = _STATE.callers[-1] if _STATE.callers else _LAST_RESORT[0]
    return caller(function, args, kwargs)


def push_caller(caller: Caller) -> None:
    """Put ``caller`` in charge until :func:`pop_caller`."""
    _STATE.callers.append(caller)


def pop_caller() -> None:
    _STATE.callers.pop()


@contextmanager
def answering(caller: Caller) -> Iterator[None]:
    """Within the block, ``caller`` carries out what is called on quantised tensors."""
    push_caller(caller)
    try:
        yield
    finally:
        pop_caller()


def last_resort(caller: Caller) -> Caller:
    """Decorator: who answers where nobody was put in charge."""
    _LAST_RESORT.append(caller)
    return caller


def _begin(model: nn.Module, *_: Any) -> None:
    _STATE.passes.append(Counter())


def _end(model: nn.Module, inputs: Any, output: Any) -> None:
    counts = _STATE.passes.pop()
    if output is None:  # forward has raised
        return
    for layer, calls in counts.items():
        known: Any = getattr(layer, "uses", None)
        if isinstance(known, int) and known > 1 and calls != known:
            raise InputError(
                f"{layer.layer}: {calls} calls in this forward pass, and {known} with the example "
                "input that the network was prepared with; which of its scales each call needs is "
                "not known then: give places that run only sometimes layers of their own"
            )
