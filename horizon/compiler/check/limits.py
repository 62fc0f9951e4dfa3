"""Compare a layer with the limits and units of a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from horizon import march
from horizon.compiler.check.problem import Problem
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.operators import operator_of
from horizon.hbir.operators.operator import MAP_LIMITS
from horizon.isa.bounds import MAX_STEP
from horizon.march import Machine
from horizon.march.limits import INPUT_TYPES

# Program files allow no larger values, whatever the machine.
FORMAT_LIMITS = dict.fromkeys(("kernel", "stride", "dilation", "displacement"), MAX_STEP)


def node_problems(graph: Graph, node: Node, machine: Machine) -> Iterator[Problem]:
    """All problems of a node of the compiled graph with the machine's units and limits."""
    operator = operator_of(node)
    unit = operator.unit
    if unit is not None and unit not in machine.units:
        found = (
            f"{node.op} needs unit {unit}; machine {machine.name} has {', '.join(machine.units)}"
        )
        remedy = operator.without_unit.format(others=", ".join(machines_with(unit)))
        yield Problem(node.name, "unit", found, remedy)
        return
    limits = machine.limits.get(node.op, {})
    types = limits.get(INPUT_TYPES)
    if isinstance(types, tuple):
        for info in typed_inputs(graph, node):
            if info.dtype not in types:
                found = (
                    f"input {info.name} is {info.dtype}; {machine.name} takes {' or '.join(types)}"
                )
                remedy = f"give the layer that makes it an output of {types[-1]} (its qconfig)"
                yield Problem(node.name, "limit", found, remedy)
    for name, (value, shown) in values_of(graph, node).items():
        limit = limits.get(name)
        if isinstance(limit, int) and value > limit:
            source = machine.sources.get(f"limits.{node.op}.{name}")
            worth = f" ({source.provenance})" if source else ""
            found = f"{_words(name)} {shown}; {machine.name} takes at most {limit:,}{worth}"
            yield Problem(node.name, "limit", found, _remedy(node, name, value, limit))
        elif value > FORMAT_LIMITS.get(name, value):
            limit = FORMAT_LIMITS[name]
            found = f"{_words(name)} {shown}; programs have at most {limit}"
            yield Problem(node.name, "limit", found, _remedy(node, name, value, limit))


def values_of(graph: Graph, node: Node) -> Mapping[str, tuple[int, str]]:
    """The values that limits apply to, by name: a number, and its text for messages."""
    shapes = [graph.tensors[name].shape for name in node.inputs]
    return operator_of(node).limit_values(node, shapes, graph.tensors[node.output].shape)


def typed_inputs(graph: Graph, node: Node) -> list[TensorInfo]:
    """The inputs whose types are limited: not a convolution's summand nor a warp's offsets."""
    names = node.inputs[: operator_of(node).typed_inputs]
    return [graph.tensors[name] for name in dict.fromkeys(names)]


@cache
def machines_with(unit: str) -> tuple[str, ...]:
    """The shipped machines that have this unit."""
    return tuple(name for name in march.available() if unit in march.load(name).units)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _remedy(node: Node, name: str, value: int, limit: int) -> str:
    if name == "kernel" and limit > 1:
        count = -(-(value - 1) // (limit - 1))
        return operator_of(node).kernel_remedy.format(count=count, limit=limit)
    if name == "stride" and limit > 1:
        return f"use stride {limit} or less, and a second layer for the rest"
    if name == "dilation":
        return f"use dilation {limit}, or two layers of {-(-value // 2)} in its place"
    if name == "weights_per_output":
        return "use fewer input channels or a smaller kernel"
    if name == "displacement":
        return "use a smaller one, or correlate at a coarser level"
    if name in MAP_LIMITS:
        return "use smaller images, or carry the layer out at a coarser level"
    return f"use at most {limit:,}" if limit > 1 else "use another layer"
