"""An operator's twin in torch: what it stands for, and what makes its forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from horizon.hbir import Graph, Node
from horizon.quantization.layers.converted import QuantizedLayer


@dataclass(frozen=True)
class Bound:
    """A call of a torch function, as the call of a layer.

    Attributes:
        kind: a short name, which the layer gets.
        config: all that is not a tensor; places that differ in it have layers of their own.
        source: makes the float layer that does the same.
        operands: what that layer is called with.
        needs_layer: False where a move without a layer will do if it is possible.
    """

    kind: str
    config: tuple[Any, ...]
    source: Callable[[], nn.Module]
    operands: tuple[Any, ...]
    needs_layer: bool = True


@dataclass(frozen=True)
class Twin:
    """Everything that the rest of this package asks of an operator.

    Attributes:
        modules: the float layers that it stands for.
        prepared: the class of the prepared layer, ``prepared(module, qconfig, name)``.
        operators: by the name of an operator of the graph, what makes the converted layer of one
            of its nodes.
        calls: by the function or method of torch that it stands for, what makes a :class:`Bound`
            of its arguments, with the names that torch gives these; None where it needs no layer.
            It raises InputError for arguments that have no fixed-point form.
    """

    modules: tuple[type[nn.Module], ...] = ()
    prepared: Any = None
    operators: Mapping[str, Callable[[Node, Graph], QuantizedLayer]] = field(default_factory=dict)
    calls: Mapping[Callable, Callable[..., Bound | None]] = field(default_factory=dict)
