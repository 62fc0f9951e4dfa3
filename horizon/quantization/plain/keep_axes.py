"""Means, sums and largest elements over some axes of a map, of which these axes are gone.

``x.mean(1)`` is ``x.mean(1, keepdim=True)``, from which the axis is taken: the reduction has a map,
and what follows (usually ``unsqueeze(1)``) only moves elements.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from horizon.quantization.plain.flat import REDUCTIONS
from horizon.quantization.plain.own_layers import replace
from horizon.quantization.plain.tracing import shape_of


def keep_axes(module: fx.GraphModule) -> None:
    """Change the graph: reductions keep the axes, and a movement takes them away."""
    maps: dict[fx.Node, tuple[fx.Node, list[int]]] = {}
    for node in list(module.graph.nodes):
        source: Any = node.args[0] if node.args else None
        name = REDUCTIONS.get(node.target)
        given, keeps = arguments_of_reduction(node)
        if name is None or keeps or given is None:
            continue
        inner, left = maps.get(source, (source, [0, 1, 2, 3]))
        if len(shape_of(inner)) != 4:
            continue
        axes = [left[axis] for axis in given]
        left = [axis for axis in left if axis not in axes]
        if 0 in axes or len(left) == 4 or (inner is source and sorted(axes) == [2, 3]):
            continue
        with module.graph.inserting_before(node):
            kept = module.graph.call_method(name, (inner, tuple(axes), True))
            kept.meta["value"] = getattr(inner.meta["value"], name)(tuple(axes), True)
            gone = tuple(axis for axis in range(4) if axis not in left)
            if left == [0, 1]:
                new = module.graph.call_function(torch.flatten, (kept, 1))
            else:
                new = module.graph.call_function(torch.squeeze, (kept, gone))
        kept.meta["line"] = node.meta.get("line")
        replace(module, node, new)
        maps[new] = kept, left


def arguments_of_reduction(node: fx.Node) -> tuple[list[int] | None, bool]:
    """The axes of a reduction, None where it has none or others than numbers, and ``keepdim``."""
    if not set(node.kwargs) <= {"dim", "axis", "keepdim", "keepdims"}:
        return None, False
    given: Any = node.args[1] if len(node.args) > 1 else None
    given = node.kwargs.get("dim", node.kwargs.get("axis", given))
    keeps = node.kwargs.get("keepdim", node.kwargs.get("keepdims", False))
    keeps = node.args[2] if len(node.args) > 2 else keeps
    axes = [given] if isinstance(given, int) else given
    if not isinstance(axes, list | tuple) or not all(isinstance(axis, int) for axis in axes):
        return None, bool(keeps)
    return list(axes), bool(keeps)
