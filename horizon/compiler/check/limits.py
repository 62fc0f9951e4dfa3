"""A layer's numbers against the largest values that a machine takes, and its units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from horizon import march
from horizon.compiler.check.problem import Problem
from horizon.hbir.graph import Graph, Node, TensorInfo
from horizon.hbm.rules import MAX_STEP
from horizon.march import Machine
from horizon.march.limits import INPUT_TYPES, UNIT_OF_OPERATOR

# Program files have no larger ones, whatever the machine.
FORMAT_LIMITS = dict.fromkeys(("kernel", "stride", "dilation", "displacement"), MAX_STEP)
MAP_LIMITS = ("height", "width", "pixels")


def node_problems(graph: Graph, node: Node, machine: Machine) -> Iterator[Problem]:
    """All that the machine's units and limits have against a node of the compiled graph."""
    unit = UNIT_OF_OPERATOR.get(node.op)
    if unit is not None and unit not in machine.units:
        found = (
            f"{node.op} needs unit {unit}; machine {machine.name} has {', '.join(machine.units)}"
        )
        yield Problem(node.name, "unit", found, _without_unit(node.op, unit))
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
            yield Problem(node.name, "limit", found, _remedy(name, value, limit))
        elif value > FORMAT_LIMITS.get(name, value):
            limit = FORMAT_LIMITS[name]
            found = f"{_words(name)} {shown}; programs have at most {limit}"
            yield Problem(node.name, "limit", found, _remedy(name, value, limit))


def values_of(graph: Graph, node: Node) -> Mapping[str, tuple[int, str]]:
    """What limits compare, by their names: a number, and how to show it."""
    source, result = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    _, height, width, channels = source.shape
    values = {
        "input_channels": (channels, f"{channels:,}"),
        "output_channels": (result.shape[3], f"{result.shape[3]:,}"),
        "height": (height, f"{height:,}"),
        "width": (width, f"{width:,}"),
        "pixels": (height * width, f"{height * width:,} ({height}x{width})"),
    }
    if "weight" in node.attributes:
        _, kh, kw, inputs = node.attributes["weight"].shape
        taps = f"{kh}x{kw}x{inputs}"
        values["weights_per_output"] = (kh * kw * inputs, f"{kh * kw * inputs:,} ({taps})")
        values["kernel"] = (max(kh, kw), f"{kh}x{kw}")
        for name in ("stride", "dilation"):
            if name in node.attributes:
                y, x = node.attributes[name]
                values[name] = (max(y, x), f"{y}x{x}")
    if "max_displacement" in node.attributes:
        reach = int(node.attributes["max_displacement"])
        values["displacement"] = (reach, str(reach))
    return values


def typed_inputs(graph: Graph, node: Node) -> list[TensorInfo]:
    """Inputs whose types count: not the summand of a convolution, not the offsets of a warp."""
    names = node.inputs[:1] if "weight" in node.attributes or node.op == "warp" else node.inputs
    return [graph.tensors[name] for name in dict.fromkeys(names)]


@cache
def machines_with(unit: str) -> tuple[str, ...]:
    """Those of the machines that come along."""
    return tuple(name for name in march.available() if unit in march.load(name).units)


def _without_unit(op: str, unit: str) -> str:
    others = ", ".join(machines_with(unit))
    if op == "warp":
        return (
            f"choose a machine that has it ({others}), cut the network there and warp on the CPU "
            "between the parts, or train a network without warping: on the same features, "
            "correlated over larger displacements"
        )
    if op == "add":
        return f"fuse the addition with the convolution before it, or choose one of {others}"
    if op == "rescale":
        return f"fuse the activation with the convolution before it, or choose one of {others}"
    return f"choose a machine that has it ({others})"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _remedy(name: str, value: int, limit: int) -> str:
    if name == "kernel" and limit > 1:
        count = -(-(value - 1) // (limit - 1))
        return f"{count} convolutions of at most {limit}x{limit}, one after the other, see as far"
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
