"""Warps that a network writes with ``F.grid_sample``: each becomes a ``horizon.nn.GridSample``.

A warp by a flow computes a grid from the positions of the pixels and the flow, normalised to -1..1.
In what way it is written does not matter: the part of the graph that makes the grid runs on chosen
flows, in double precision, and is a warp if it gives the position of each pixel plus a constant
times the flow. ``GridSample`` takes the offset in pixels, and needs neither positions nor sizes.
"""

from __future__ import annotations

import inspect
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.nn import GridSample
from horizon.quantization.plain.grids import Grid, Linear
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import add_layer, is_real, shape_of

CHANNELS = 16
"""A flow is looked for among tensors of up to so many channels."""
EXPECTED = (
    "expected a grid of the positions of the pixels plus a constant times one tensor of 1 or 2 "
    "channels, the flow in pixels, normalised to -1..1 as align_corners says"
)
PADDING = (
    "padding_mode {!r}; fixed point has 'zeros', where values fade to 0 over one pixel beyond the "
    "border; pass padding_mode='zeros' and train the network on with it for some steps"
)
CORNERS = (
    "its grid is normalised as for align_corners={own}, and the call has align_corners={given}, so "
    "that no pixel stays in its place where the flow is 0; pass align_corners={own}, and train the "
    "network on with it for some steps"
)
CONSTANT = (
    "it samples a constant, as for a mask of the places that lie within the map; outside of it a "
    "warp gives 0 already: leave the mask out, or pass it to the network as an input"
)
SIZES = (
    "it samples a map of {}x{} at {}x{} places; expected a place for each pixel: resize the map, "
    "or use horizon.nn.Correlation for a cost volume"
)


@dataclass
class _Call:
    """The arguments of a call of ``F.grid_sample``."""

    input: Any
    grid: Any
    mode: str
    padding_mode: str
    align_corners: bool


def use_warps(module: fx.GraphModule) -> bool:
    """Change the graph: calls of ``F.grid_sample`` become a :class:`~horizon.nn.GridSample`.

    Returns:
        Whether the factor between a flow and its offset in pixels is that of one size of the map.

    Raises:
        InputError: calls that no such layer stands for; all of them are listed.
    """
    refused, one_size = [], False
    calls = [node for node in module.graph.nodes if node.target is functional.grid_sample]
    for node in calls:
        try:
            one_size = _use_warp(module, node) or one_size
        except InputError as error:
            line = node.meta.get("line")
            refused.append(f"\n  grid_sample{f' ({line})' if line else ''}: {error}")
    if refused:
        raise InputError(f"{len(refused)} warp(s) have no fixed-point form:{''.join(refused)}")
    if calls:
        module.graph.eliminate_dead_code()
    return one_size


def _use_warp(module: fx.GraphModule, node: fx.Node) -> bool:
    """Replace one call; returns whether it is for one size."""
    call = _call_of(node)
    grid = Grid(module, call.grid, call.align_corners)
    if grid.stays():
        node.replace_all_uses_with(call.input)
        module.graph.erase_node(node)
        return False
    if not Grid(module, call.input).varies():
        raise InputError(CONSTANT)
    source, linear = _flow_of(grid)
    with module.graph.inserting_before(node):
        offset = _offset(module, node, source, linear)
        target = add_layer(module, node.name, GridSample())
        new = module.graph.call_module(target, (call.input, offset))
    replace(module, node, new)
    return not linear.any_size


def _call_of(node: fx.Node) -> _Call:
    bound = inspect.signature(functional.grid_sample).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    call = _Call(**bound.arguments)
    call.align_corners = bool(call.align_corners)
    if call.mode != "bilinear":
        raise InputError(f"mode {call.mode!r}; fixed point has 'bilinear'")
    if call.padding_mode != "zeros":
        raise InputError(PADDING.format(call.padding_mode))
    size, places = shape_of(call.input), shape_of(call.grid)
    if len(size) != 4 or len(places) != 4:
        raise InputError(f"it samples {len(size) - 2} dimensions; expected maps (N, C, H, W)")
    if size[2:] != places[1:3]:
        raise InputError(SIZES.format(*size[2:], *places[1:3]))
    return call


def _flow_of(grid: Grid) -> tuple[fx.Node, Linear]:
    """The tensor that moves the pixels, and how: where several do, the last one that is an offset
    in pixels but for one number, which is the same for maps of any size.
    """
    if not grid.varies():
        raise InputError(f"its grid moves the pixels and depends on no flow; {EXPECTED}")
    found = [
        (source, linear)
        for source in reversed(grid.nodes)
        if _may_be_flow(source, grid) and (linear := grid.linear(source)) is not None
    ]
    if found:
        return min(found, key=lambda each: (each[1].factor is None, not each[1].any_size))
    other = Grid(grid.module, grid.node, not grid.align_corners)
    for source in reversed(other.nodes):
        if _may_be_flow(source, other) and other.linear(source) is not None:
            raise InputError(CORNERS.format(own=other.align_corners, given=grid.align_corners))
    raise InputError(f"its grid is of another form; {EXPECTED}")


def _may_be_flow(node: fx.Node, grid: Grid) -> bool:
    shape = shape_of(node)
    inner = len(shape) == 4 and shape[2:] == shape_of(grid.node)[1:3]
    return is_real(node) and inner and shape[1] <= CHANNELS and node is not grid.node


def _offset(module: fx.GraphModule, node: fx.Node, source: fx.Node, linear: Linear) -> fx.Node:
    """The node with the offset in pixels, (N, 2, H, W), of the map of ``source``."""
    matrix, factor = linear.matrix, linear.factor
    if factor is not None:
        if factor == 1:
            return source
        new = module.graph.call_function(operator.mul, (source, factor))
        new.meta["value"] = source.meta["value"] * factor
        return new
    conv = nn.Conv2d(matrix.shape[1], 2, 1, bias=False).to(source.meta["value"])
    conv.weight = nn.Parameter(matrix[:, :, None, None].to(conv.weight), requires_grad=False)
    target = add_layer(module, f"{node.name}_offset", conv)
    new = module.graph.call_module(target, (source,))
    new.meta["value"] = _multiplied(conv, source.meta["value"])
    return new


@torch.no_grad()
def _multiplied(conv: nn.Module, value: Tensor) -> Tensor:
    result: Tensor = conv(value)
    return result
