"""Every operator's twin in torch, each in a file of its own, and the one table that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.utils._pytree import tree_leaves

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.quantization.layers import (
    adaptive_max_pool,
    add,
    affine,
    avg_pool,
    channel_max,
    concat,
    conv,
    correlation,
    difference,
    extremum,
    functional,
    grid_sample,
    lookup,
    matmul,
    max_pool,
    mul,
    reductions,
    rescale,
    resize,
    stubs,
    transpose,
)
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.twin import Bound
from horizon.quantization.movement.rearranged import refuse_rearranged
from horizon.quantization.moves import CAN_HAVE_A_LAYER, function_name, shown

TWINS = (
    affine.TWIN,
    conv.TWIN,
    correlation.TWIN,
    grid_sample.TWIN,
    functional.TWIN,
    add.TWIN,
    difference.TWIN,
    extremum.TWIN,
    channel_max.TWIN,
    mul.TWIN,
    matmul.TWIN,
    concat.TWIN,
    transpose.TWIN,
    max_pool.TWIN,
    adaptive_max_pool.TWIN,
    avg_pool.TWIN,
    reductions.TWIN,
    resize.TWIN,
    rescale.RELU,
    rescale.OTHERS,
    lookup.TWIN,
    stubs.QUANT,
    stubs.DEQUANT,
)
OPERATORS = {name: make for twin in TWINS for name, make in twin.operators.items()}


CALLS: dict[Callable, list[Callable[..., Bound | None]]] = {}
for _twin in TWINS:
    for _function, _bind in _twin.calls.items():
        CALLS.setdefault(_function, []).append(_bind)
CAN_HAVE_A_LAYER.update(function_name(function) for function in CALLS)
CAN_HAVE_A_LAYER.update(("matmul", "bmm", "einsum"))  # by an expansion


def bound_call(function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound | None:
    """A function on quantised tensors as the call of a layer; None if no layer stands for it.

    Raises:
        InputError: arguments that have no fixed-point form.
    """
    if function in CALLS:
        refuse_rearranged(shown(function), *tree_leaves((args, dict(kwargs))))
    try:
        found = (bind(*args, **kwargs) for bind in CALLS.get(function, ()))
        return next((bound for bound in found if bound is not None), None)
    except TypeError as error:
        raise InputError(f"{shown(function)} on a quantised tensor: {error}") from error


def prepared_form(module: nn.Module) -> Any:
    """The class of the prepared layer that stands for a float one; None if there is none."""
    return next((twin.prepared for twin in TWINS if isinstance(module, twin.modules)), None)


def layer_of(node: Node, graph: Graph) -> QuantizedLayer:
    """The converted layer that carries out a node of a program."""
    return OPERATORS[node.op](node, graph)
