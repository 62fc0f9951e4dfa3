"""Every operator's twin in torch, each in a file of its own, and the one table that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.utils._pytree import tree_leaves

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.quantization.layers import (
    add,
    avg_pool,
    concat,
    conv,
    correlation,
    difference,
    extremum,
    functional,
    grid_sample,
    lookup,
    max_pool,
    mul,
    rescale,
    resize,
    stubs,
)
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.twin import Bound
from horizon.quantization.moves import CAN_HAVE_A_LAYER, function_name, shown
from horizon.quantization.rearranged import refuse_rearranged

TWINS = (
    conv.TWIN,
    correlation.TWIN,
    grid_sample.TWIN,
    functional.TWIN,
    add.TWIN,
    difference.TWIN,
    extremum.TWIN,
    mul.TWIN,
    concat.TWIN,
    max_pool.TWIN,
    avg_pool.TWIN,
    resize.TWIN,
    rescale.RELU,
    rescale.OTHERS,
    lookup.TWIN,
    stubs.QUANT,
    stubs.DEQUANT,
)
OPERATORS = {name: make for twin in TWINS for name, make in twin.operators.items()}


CALLS = {function: bind for twin in TWINS for function, bind in twin.calls.items()}
CAN_HAVE_A_LAYER.update(function_name(function) for function in CALLS)


def bound_call(function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound | None:
    """A function on quantised tensors as the call of a layer; None if no layer stands for it.

    Raises:
        InputError: arguments that have no fixed-point form.
    """
    bind = CALLS.get(function)
    if bind is None:
        return None
    refuse_rearranged(shown(function), *tree_leaves((args, dict(kwargs))))
    try:
        return bind(*args, **kwargs)
    except TypeError as error:
        raise InputError(f"{shown(function)} on a quantised tensor: {error}") from error


def prepared_form(module: nn.Module) -> Any:
    """The class of the prepared layer that stands for a float one; None if there is none."""
    return next((twin.prepared for twin in TWINS if isinstance(module, twin.modules)), None)


def layer_of(node: Node, graph: Graph) -> QuantizedLayer:
    """The converted layer that carries out a node of a program."""
    return OPERATORS[node.op](node, graph)
