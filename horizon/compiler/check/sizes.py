"""Checks of sizes: of a program's images, of maps, and of tensors too large for any program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from horizon.compiler.check.limits import MAP_LIMITS, values_of
from horizon.compiler.check.problem import Problem
from horizon.errors import CapacityError, InputError
from horizon.hbir.graph import Graph
from horizon.hbm.records import DataType
from horizon.isa.bounds import MAX_MEMORY
from horizon.march import Machine


def check_outputs(graph: Graph) -> None:
    """Raise InputError if an output is named twice."""
    if repeated := {name for name in graph.outputs if graph.outputs.count(name) > 1}:
        raise InputError(
            f"program {graph.name}: outputs {sorted(repeated)} are there twice; name them once"
        )


def check_tensor_sizes(graph: Graph) -> None:
    """Raise CapacityError if a tensor is too large for any program."""
    for info in graph.tensors.values():
        if math.prod(info.shape) * DataType[info.dtype].size > MAX_MEMORY:
            raise CapacityError(
                f"program {graph.name}: tensor {info.name} of shape {info.shape} is too large: "
                f"{math.prod(info.shape)} elements; expected at most 2^40 bytes; choose smaller "
                "images"
            )


def padded(graph: Graph, size: tuple[int, int]) -> tuple[int, int]:
    """The smallest (H, W) that a program has for images of ``size``.

    Raises:
        InputError: a side below 1.
    """
    if min(size) < 1:
        raise InputError(f"size {size[0]}x{size[1]} (height x width): expected positive numbers")
    multiple = _multiple(graph)
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def size_problems(graph: Graph, size: tuple[int, int]) -> list[Problem]:
    """The problems of images of (H, W) with this graph."""
    fitting = padded(graph, size)
    if size == fitting:
        return []
    shown, right = ("x".join(map(str, one)) for one in (size, fitting))
    found = f"images of {shown} (height x width); programs take multiples of {_multiple(graph)}"
    remedy = f"compile for {right}, which this check is for; the tools pad smaller images to it"
    return [Problem("", "size", found, remedy)]


def _multiple(graph: Graph) -> int:
    return int(graph.attributes.get("size_multiple", 1))


@dataclass(frozen=True)
class MapLimit:
    """The limit on maps that the program is closest to, or exceeds most.

    Attributes:
        name: "height", "width" or "pixels".
        layer: the layer that is closest to the limit.
    """

    name: str
    layer: str
    value: int
    limit: int


def nearest_map_limit(graph: Graph, machine: Machine) -> MapLimit | None:
    """The limit that larger images would reach first; None if the machine has no such limits.

    Pixels grow with both sides of an image, so they are compared by their square root.
    """
    return max(_map_limits(graph, machine), key=_nearness, default=None)


def _nearness(one: MapLimit) -> float:
    share = one.value / one.limit
    return math.sqrt(share) if one.name == "pixels" else share


def _map_limits(graph: Graph, machine: Machine) -> Iterator[MapLimit]:
    for node in graph.nodes:
        for name in MAP_LIMITS:
            limit = machine.limits.get(node.op, {}).get(name)
            if isinstance(limit, int):
                yield MapLimit(name, node.name, values_of(graph, node)[name][0], limit)
