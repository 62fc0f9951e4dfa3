"""Places of a network where a function is called that has a layer of its own there.

A place is known by the module in whose ``forward`` it stands, the kind of the call, what is no
tensor among its arguments, and its number among the calls in that ``forward`` that agree in these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from horizon.errors import InputError
from horizon.quantization.calls import pop_caller, push_caller
from horizon.quantization.expansions import expansion
from horizon.quantization.layers import bound_call
from horizon.quantization.layers.twin import Bound
from horizon.quantization.moves import move, shown

Site = tuple[str, tuple[Any, ...], int]
ATTRIBUTE = "quantised_calls"


class SiteCounter:
    """Gives the calls in one run of a module's ``forward`` their numbers."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, tuple[Any, ...]]] = Counter()

    def next(self, bound: Bound) -> Site:
        key = (bound.kind, bound.config)
        self._counts[key] += 1
        return (*key, self._counts[key] - 1)


class _Run:
    """One run of a module's ``forward``."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.names: Mapping[Site, str] = getattr(module, ATTRIBUTE, {})
        self.counter = SiteCounter()

    def __call__(self, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        expanded = expansion(function, args, kwargs)
        if expanded is not None:
            return expanded(*args, **kwargs)
        bound = bound_call(function, args, kwargs)
        if bound is None:
            return move(function, args, kwargs)
        name = self.names.get(self.counter.next(bound))
        if name is not None:
            return getattr(self.module, name)(*bound.operands)
        try:
            return move(function, args, kwargs)
        except InputError as error:
            raise InputError(
                f"{type(self.module).__name__}: {shown(function)} at a place that the example "
                "input did not reach when the network was prepared, or with other arguments "
                "(sizes, factors); prepare with an example that reaches every place, or make it a "
                f"layer ({error})"
            ) from error


def add_site(module: nn.Module, site: Site, layer: nn.Module, name: str) -> None:
    """Put ``layer`` into ``module`` for the calls at ``site``."""
    module.add_module(name, layer)
    setattr(module, ATTRIBUTE, {**getattr(module, ATTRIBUTE, {}), site: name})


def site_name(module: nn.Module, kind: str, taken: set[str]) -> str:
    """A name for the layer of a site that ``module`` does not use yet."""
    name, number = f"quantised_{kind}", 0
    while name in taken or hasattr(module, name):
        number += 1
        name = f"quantised_{kind}_{number}"
    return name


def watch_sites(module: nn.Module) -> None:
    """Let the calls in ``forward`` of ``module`` find their layers there."""
    module.register_forward_pre_hook(_enter, prepend=True)
    module.register_forward_hook(_leave, always_call=True)


def _enter(module: nn.Module, *_: Any) -> None:
    push_caller(_Run(module))


def _leave(module: nn.Module, *_: Any) -> None:
    pop_caller()
