"""Advice about products: layers that leave part of the array idle or need extra steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from horizon.compiler.check.advice import Advice, duration, percent
from horizon.compiler.check.layer import Layer, Pricing, with_channels, with_weights
from horizon.compiler.passes.rewrite import producers
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.operators import Moves, operator_of
from horizon.hbm.records import DataType, Instruction, WeightLayout
from horizon.march import Array
from horizon.perf.work import inputs_of, is_wide, phases

CHEAP = 0.25
"""Channels may be given up for a group less if they are not more than this share of one."""
LARGE_KERNEL = 5


def array_advice(layer: Layer, graph: Graph, pricing: Pricing) -> Iterator[Advice]:
    """All such advice for one layer, whatever the gain."""
    array = pricing.array(layer.instruction)
    if array is None:
        return
    yield from _inputs(layer, graph, pricing, array)
    yield from _outputs(layer, graph, pricing, array)
    yield from _wide(layer, graph, pricing)
    yield from _kernel(layer, pricing)


def _inputs(layer: Layer, graph: Graph, pricing: Pricing, array: Array) -> Iterator[Advice]:
    whole = layer.instruction
    count, size = whole.a.shape[3], array.inputs
    groups = -(-count // size)
    if count == groups * size or _is_image(graph, layer.task.a.tensor):
        return
    share = count / (groups * size)
    parts = _parts(graph, layer.task.a.tensor)
    shown = f" ({' + '.join(map(str, parts))})" if len(parts) > 1 else ""
    found = f"{count} inputs{shown} use {groups} of {groups} groups of {size}: {percent(share)}"
    fewer = (groups - 1) * size
    if fewer and count - fewer <= CHEAP * size:
        compute = pricing.compute(with_channels(whole, inputs=fewer))
        change = f"{fewer} inputs, {count - fewer} fewer, take {_groups(groups - 1)}"
    else:
        compute = pricing.filled(layer, share)
        change = f"up to {groups * size} inputs take the same time"
    gain = pricing.saved(layer, compute)
    yield Advice("inputs", (layer.task.layer,), found, change, gain)


def _outputs(layer: Layer, graph: Graph, pricing: Pricing, array: Array) -> Iterator[Advice]:
    whole = layer.instruction
    count, size = whole.out.shape[3], array.outputs
    groups = -(-count // size)
    if count == groups * size:
        return
    share = count / (groups * size)
    found = f"{count} outputs use {groups} of {groups} groups of {size}: {percent(share)}"
    fewer = (groups - 1) * size
    if whole.weight is None:
        yield from _displacements(layer, pricing, found)
        return
    if whole.weight_layout is WeightLayout.rows:
        found += ", in the array for few outputs"
    compute = pricing.filled(layer, share)
    alone = whole.weight_layout is WeightLayout.depthwise
    twins = [] if alone else _twins(graph, layer.task.node)
    if fewer and count - fewer <= CHEAP * size:
        inputs = fewer if alone else None
        compute = pricing.compute(with_channels(whole, inputs=inputs, outputs=fewer))
        change = f"{fewer} outputs, {count - fewer} fewer, take {_groups(groups - 1)}"
    elif twins:
        change = f"one layer for it and {', '.join(twins)}, with the same input and kernel"
    elif 2 * count <= size and inputs_of(whole) > array.inputs:
        inputs = whole.a.shape[3] - array.inputs
        less = pricing.saved(layer, pricing.compute(with_channels(whole, inputs=inputs)))
        change = (
            f"it takes the time of {size} outputs: let it read fewer channels; each "
            f"{array.inputs} of its {whole.a.shape[3]} inputs take {duration(less)}"
        )
    else:
        change = f"up to {groups * size} outputs take the same time"
    gain = pricing.saved(layer, compute)
    yield Advice("outputs", (layer.task.layer,), found, change, gain)


def _displacements(layer: Layer, pricing: Pricing, found: str) -> Iterator[Advice]:
    """For a correlation, the next smaller displacement that saves a group of outputs."""
    whole = layer.instruction
    if whole.reach < 1:
        return
    outputs = (2 * whole.reach - 1) ** 2
    fewer = replace(with_channels(whole, outputs=outputs), reach=whole.reach - 1)
    gain = pricing.saved(layer, pricing.compute(fewer))
    change = f"displacements up to {whole.reach - 1}, not {whole.reach}, give {outputs} outputs"
    yield Advice("outputs", (layer.task.layer,), found, change, gain)


def _wide(layer: Layer, graph: Graph, pricing: Pricing) -> Iterator[Advice]:
    whole = layer.instruction
    if not is_wide(whole):
        return
    operands = [layer.task.a]
    if whole.weight is None and layer.task.b is not None:
        operands.append(layer.task.b)
    wide = [one.tensor for one in operands if graph.tensors[one.tensor].dtype == "int16"]
    narrow = replace(
        whole,
        a=replace(whole.a, dtype=DataType.int8),
        b=whole.b if whole.b is None else replace(whole.b, dtype=DataType.int8),
    )
    if whole.weight is not None:
        narrow = with_weights(narrow)
    nbytes = layer.nbytes
    for name, operand in (("a", layer.task.a), ("b", layer.task.b)):
        if operand is not None and operand.tensor in wide and name in layer.moved:
            nbytes -= layer.moved[name].total // 2
    steps = pricing.machine.tensor.int16_steps if pricing.machine.tensor else 1
    made_by = producers(graph)
    makers = sorted({made_by[name].name if name in made_by else name for name in wide})
    found = f"int16 inputs take {steps:g} steps for one of int8"
    change = f"int8 for the output of {', '.join(makers)}, if its precision allows"
    gain = pricing.saved(layer, pricing.compute(narrow), nbytes)
    yield Advice("int16", (layer.task.layer,), found, change, gain)


def _kernel(layer: Layer, pricing: Pricing) -> Iterator[Advice]:
    """Several small kernels in sequence in place of a large one, at the size of the output."""
    whole = layer.instruction
    side = whole.kernel[0]
    square = whole.kernel == (side, side) and side % 2 and whole.dilation == (1, 1)
    if whole.weight is None or whole.transposed or not square or side < LARGE_KERNEL:
        return
    count = (side - 1) // 2
    first = with_weights(replace(whole, kernel=(3, 3)))
    compute = pricing.compute(first)
    again = replace(first, a=replace(first.out, dtype=first.a.dtype))
    compute += (count - 1) * pricing.compute(with_weights(again))
    found = f"kernel {side}x{side}: {side * side} taps"
    change = f"{count} layers of 3x3 see as far with {9 * count} taps"
    yield Advice("kernel", (layer.task.layer,), found, change, pricing.saved(layer, compute))


def _groups(count: int) -> str:
    return f"{count} group{'s' * (count != 1)}"


def _is_image(graph: Graph, name: str) -> bool:
    """Whether a tensor is an input of the program, or consists of parts of inputs."""
    made_by = producers(graph)
    while name in made_by:
        node = made_by[name]
        if operator_of(node).moves is None:
            return False
        name = node.inputs[0]
    return True


def _parts(graph: Graph, name: str) -> list[int]:
    """The channels of each tensor that was joined into this one."""
    node = producers(graph).get(name)
    joined = node is not None and operator_of(node).moves is Moves.JOIN
    if node is None or not joined or node.attributes["axis"] != 3:
        return [graph.tensors[name].shape[3]]
    return [graph.tensors[part].shape[3] for part in node.inputs]


def _twins(graph: Graph, node: Node | None) -> list[str]:
    """Convolutions of the same input and geometry, which could share the lanes."""
    if node is None:
        return []
    own = _geometry(node)
    return [
        other.name
        for other in graph.nodes
        if other is not node
        and other.op == node.op
        and other.inputs[0] == node.inputs[0]
        and len(other.inputs) == len(node.inputs) == 1
        and _geometry(other) == own
    ]


def _geometry(node: Node) -> tuple[object, ...]:
    values = node.attributes
    keys = ("stride", "padding", "end_padding", "output_padding", "dilation", "groups")
    return (values["weight"].shape[1:3], *(values.get(key) for key in keys))


def columns_used(instruction: Instruction, array: Array) -> float:
    """The share of the array's pixels that the rows of a convolution or correlation fill."""
    used = lanes = 0
    for rows, columns, taps in phases(instruction):
        used += rows * columns * taps
        lanes += rows * taps * -(-columns // array.pixels) * array.pixels
    return used / lanes if lanes else 1.0
