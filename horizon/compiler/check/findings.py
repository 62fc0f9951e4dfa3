"""Compare a program graph with a machine, op by op: ``docs/checker.md``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from horizon.compiler.check.advice import Advice, merged
from horizon.compiler.check.arrays import array_advice
from horizon.compiler.check.groups import groups_advice
from horizon.compiler.check.layer import Layer, Pricing, price_layers
from horizon.compiler.check.memory import least_plan
from horizon.compiler.check.problem import Problem
from horizon.compiler.check.rows import rows_advice
from horizon.compiler.check.sizes import (
    MapLimit,
    check_outputs,
    check_tensor_sizes,
    nearest_map_limit,
    padded,
    size_problems,
)
from horizon.compiler.check.supported import list_problems
from horizon.compiler.check.traffic import traffic_advice
from horizon.compiler.job import Job
from horizon.compiler.layout import place_tensors
from horizon.compiler.levels import level_of
from horizon.compiler.passes import run_passes
from horizon.compiler.passes.split_groups import convolutions_of
from horizon.compiler.tasks import list_tasks
from horizon.hbir.graph import Graph, resized
from horizon.hbir.node import Node
from horizon.hbir.operators.conv2d import is_depthwise
from horizon.hbm.records import DataType
from horizon.march import Machine
from horizon.perf.bound import peak
from horizon.perf.work import array_of, is_wide, products

LEAST_GAIN = 0.01
"""Advice is worth reading if it gains this share of the time of all layers."""
SLOW_SHARE = 0.2
"""An op is slow if such advice gains this share of its own time."""
SUPPORTED, SLOW, UNSUPPORTED = "supported", "slow", "not supported"


@dataclass(frozen=True)
class OpFinding:
    """An op of the program graph on a machine.

    Attributes:
        name, op: those of the given graph.
        inputs: (N, H, W, C) and type of each input.
        output: (N, H, W, C) and type.
        verdict: "supported", "slow" (but supported) or "not supported".
        problems: why it is not supported.
        note: how the op is executed if it has no instruction of its own.
        macs: multiply-accumulates, padding included.
        seconds: closed form: the longer of arithmetic and transfers, all cores at work.
        bounded_by: "ddr" or a unit; empty if the op takes no time.
        utilisation: of the array while the op computes; 0 without products.
        loaded_stored: bytes.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    verdict: str
    problems: tuple[Problem, ...]
    note: str
    macs: int
    seconds: float
    bounded_by: str
    utilisation: float
    loaded_stored: int


@dataclass(frozen=True)
class Check:
    """The answer for one machine.

    Attributes:
        size: (H, W) of the images that was checked.
        problems: problems of the program as a whole; each op has its own.
        ops: the ops in the order of the program.
        advice: worthwhile changes, the largest gain first.
        seconds: sum over all layers, in closed form; an orientation only.
        nearest_limit: the limit of the maps that is nearest, see :func:`nearest_map_limit`.
    """

    graph: Graph
    machine: Machine
    opt: str
    size: tuple[int, int]
    problems: tuple[Problem, ...]
    ops: tuple[OpFinding, ...]
    advice: tuple[Advice, ...]
    seconds: float
    nearest_limit: MapLimit | None

    @property
    def fits(self) -> bool:
        return not self.problems and not any(op.problems for op in self.ops)


def check_graph(
    graph: Graph,
    machine: Machine,
    size: tuple[int, int] | None = None,
    opt: str = "O2",
    input_type: str = "uint8",
) -> Check:
    """Compare a program graph with a machine.

    Args:
        size: (H, W) of the images; None keeps the graph's. If it is not a multiple of the graph's
            ``size_multiple``, that is reported as a problem, and the next larger size is checked.
        opt, input_type: as for ``compile_program``, which refuses exactly what does not fit here.

    Raises:
        InputError: a graph that ``horizon.hbir.verify`` refuses, or an impossible size.
    """
    batch, height, width, _ = graph.tensors[graph.inputs[0]].shape
    asked = size or (height, width)
    problems = size_problems(graph, asked)
    if padded(graph, asked) != (height, width):
        graph = resized(graph, batch, *padded(graph, asked))
    check_outputs(graph)
    check_tensor_sizes(graph)
    level = level_of(opt)
    compiled = run_passes(graph, level.passes)
    placed = place_tensors(
        compiled, level.in_place, machine.constants_in_place, DataType[input_type]
    )
    tasks = list_tasks(placed)
    job = Job(placed, tasks, machine, level)
    owners = _Owners(graph)
    of_ops: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in list_problems(job):
        owner = owners.of(problem.layer)
        (problems if owner is None else of_ops[owner]).append(problem)
    pricing = Pricing(machine)
    layers = price_layers(placed, tasks, pricing, least_plan(job))
    seconds = sum(pricing.seconds(layer) for layer in layers)
    good = [layer for layer in layers if owners.of(layer.task.layer) not in of_ops]
    advice = [
        one
        for one in _advice(compiled, good, pricing, owners, opt == "O3")
        if one.gain >= LEAST_GAIN * seconds > 0
    ]
    gains: defaultdict[str, float] = defaultdict(float)
    for one in advice:
        for name, gain in one.by_layer.items():
            gains[name] = max(gains[name], gain)
    by_owner: defaultdict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        by_owner[owners.of(layer.task.layer) or ""].append(layer)
    kept = {owners.of(node.name) for node in compiled.nodes}
    ops = tuple(
        _finding(graph, node, by_owner[node.name], pricing, of_ops[node.name], gains, kept)
        for node in graph.nodes
    )
    return Check(
        graph,
        machine,
        opt,
        padded(graph, asked),
        tuple(problems),
        ops,
        tuple(advice),
        seconds,
        nearest_map_limit(compiled, machine),
    )


class _Owners:
    """Finds the op of the given graph to which a layer of the compiled graph belongs."""

    def __init__(self, graph: Graph) -> None:
        self._names = {node.name for node in graph.nodes}
        self.grouped = {
            node.name: node
            for node in graph.nodes
            if node.attributes.get("groups", 1) > 1 and not is_depthwise(node)
        }

    def of(self, layer: str) -> str | None:
        if layer in self._names:
            return layer
        base = re.sub(r"\.group\d+(\.(input|residual))?$", "", layer)
        return base if base in self.grouped else None


def _advice(
    graph: Graph, layers: Sequence[Layer], pricing: Pricing, owners: _Owners, searched: bool
) -> list[Advice]:
    found = rows_advice(layers, graph, pricing)
    groups: defaultdict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        owner = owners.of(layer.task.layer)
        if owner in owners.grouped:
            groups[owner].append(layer)
            continue
        found += array_advice(layer, graph, pricing)
        found += traffic_advice(layer, graph, pricing, searched)
    for name, parts in groups.items():
        found += groups_advice(owners.grouped[name], parts, pricing)
    return merged(
        replace(one, layers=tuple(owners.of(layer) or layer for layer in one.layers))
        for one in found
    )


def _finding(
    graph: Graph,
    node: Node,
    layers: Sequence[Layer],
    pricing: Pricing,
    problems: Sequence[Problem],
    gains: Mapping[str, float],
    kept: set[str | None],
) -> OpFinding:
    limits: defaultdict[str, float] = defaultdict(float)
    ideal = tensor = 0.0
    macs = 0
    shared = node.attributes.get("groups", 1) // convolutions_of(node)  # the rest are zeros
    for layer in layers:
        limits[layer.instruction.unit.name] += layer.compute
        limits["ddr"] += layer.transfer
        count = products(layer.instruction) // shared
        macs += count
        array = array_of(layer.instruction)
        if array is not None and layer.compute:
            tensor += layer.compute
            rate = peak(pricing.machine, array, is_wide(layer.instruction))
            ideal += count / rate
    seconds = sum(pricing.seconds(layer) for layer in layers)
    slow = seconds > 0 and gains.get(node.name, 0.0) >= SLOW_SHARE * seconds
    verdict = UNSUPPORTED if problems else SLOW if slow else SUPPORTED
    return OpFinding(
        name=node.name,
        op=node.op,
        inputs=tuple(_shown(graph, name) for name in node.inputs),
        output=_shown(graph, node.output),
        verdict=verdict,
        problems=tuple(problems),
        note=_note(node, layers, kept),
        macs=macs,
        seconds=seconds,
        bounded_by=max(limits, key=lambda name: limits[name]) if seconds else "",
        utilisation=ideal / tensor if tensor else 0.0,
        loaded_stored=sum(layer.nbytes for layer in layers),
    )


def _note(node: Node, layers: Sequence[Layer], kept: set[str | None]) -> str:
    if node.name not in kept:
        return "merged or not needed"
    if not layers:
        return "view"
    if all(layer.task.is_copy for layer in layers):
        return f"{len(layers)} copies" if len(layers) > 1 else "copy"
    count = convolutions_of(node)
    if node.attributes.get("groups", 1) == 1 or is_depthwise(node):
        return ""
    return f"{count} convolutions" if count > 1 else "a convolution of all channels"


def _shown(graph: Graph, name: str) -> str:
    info = graph.tensors[name]
    return f"{'x'.join(map(str, info.shape))} {info.dtype}"


def counts(check: Check) -> Mapping[str, int]:
    """The number of ops by verdict."""
    found = dict.fromkeys((SUPPORTED, SLOW, UNSUPPORTED), 0)
    for op in check.ops:
        found[op.verdict] += 1
    return found
