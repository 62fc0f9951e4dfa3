"""Advice about memory: operands that are loaded repeatedly, copied, or bound the layer."""

from __future__ import annotations

from collections.abc import Iterator

from horizon.compiler.check.advice import Advice, duration, memory, percent
from horizon.compiler.check.layer import Layer, Pricing
from horizon.compiler.geometry import whole_map
from horizon.compiler.passes.rewrite import producers, use_counts
from horizon.hbir.graph import Graph
from horizon.hbir.operators import Moves, operator_of

OVERLAP = 1.02
"""Tiles that overlap by less are none to speak of."""
MORE_ROOM = "larger tiles: fewer channels, smaller images, more SRAM"


def traffic_advice(
    layer: Layer, graph: Graph, pricing: Pricing, searched: bool
) -> Iterator[Advice]:
    """All such advice for one layer, whatever the gain.

    Args:
        searched: whether the level has already searched for the best tiles.
    """
    name = layer.task.layer
    if layer.task.is_copy:
        if name not in graph.inputs:
            found, change = _why_copied(layer, graph)
            yield Advice("copies", (name,), found, change, pricing.seconds(layer))
        return
    saved = operator_of(layer.task.computed).pass_advice(layer.task.computed)
    if saved is not None:
        yield Advice("passes", (name,), *saved, pricing.seconds(layer))
    room = MORE_ROOM if searched else f"{MORE_ROOM}; --opt O3 searches for them"
    excess = 0
    for one, nbytes in _again(layer, room):
        excess += nbytes
        gain = pricing.saved(layer, nbytes=layer.nbytes - nbytes)
        yield Advice(one.kind, one.layers, one.found, one.change, gain)
    yield from _bound(layer, pricing, layer.nbytes - excess)


def _again(layer: Layer, room: str) -> Iterator[tuple[Advice, int]]:
    """Operands that are loaded more than once, and the bytes that this costs."""
    layers, tiling = (layer.task.layer,), layer.tiling
    a, b, weight = (layer.moved.get(name) for name in ("a", "b", "weight"))
    if tiling is None:
        return
    _, height, width, channels = tiling.shape
    if whole_map(layer.task, "a"):
        if b is not None and b.total > b.once:
            _, rows, columns, depth = layer.task.a.shape
            found = (
                f"a warp may read any place, so the whole map of {rows}x{columns} has to be in "
                f"SRAM: {channels} of {depth} channels at a time; its offsets are loaded "
                f"{b.total / b.once:.0f} times"
            )
            change = "warp a coarser level, or fewer channels"
            yield Advice("offsets again", layers, found, change, 0.0), b.total - b.once
        return
    if weight is not None and weight.total > weight.once:
        times = weight.total / weight.once
        found = f"its weights, {memory(weight.once)}, are loaded {times:.0f} times, tile by tile"
        yield Advice("weights again", layers, found, room, 0.0), weight.total - weight.once
    for one, what in ((a, "its input"), (b, "its second input")):
        if one is None:
            continue
        passes = one.total / one.once
        if passes > 1:
            found = (
                f"{what}, {memory(one.whole)}, is loaded {passes:.0f} times, for slices of "
                f"{channels} of {layer.task.out.shape[3]} outputs"
            )
            yield Advice("inputs again", layers, found, room, 0.0), one.total - one.once
        if one.once > OVERLAP * one.whole:
            found = (
                f"tiles of {height}x{width} pixels overlap{_reach(layer)}: "
                f"{one.once / one.whole:.2f} x {what} is loaded, {memory(one.once * passes)}"
            )
            change = f"a smaller dilation; {room}" if _dilation(layer) > 1 else room
            yield Advice("halo", layers, found, change, 0.0), round((one.once - one.whole) * passes)
    if a is not None and (skipped := _skipped(layer)):
        (sy, sx), (kh, kw) = layer.instruction.stride, layer.instruction.kernel
        found = f"stride {sy}x{sx}, kernel {kh}x{kw}: {percent(skipped)} of its input is skipped"
        change = "the stride in the layer before it, or a kernel as large as the stride"
        yield Advice("stride", layers, found, change, 0.0), round(a.total * skipped)


def _bound(layer: Layer, pricing: Pricing, nbytes: int) -> Iterator[Advice]:
    """Advice if a layer's transfers, each done once, still take longer than its arithmetic."""
    transfer = nbytes / pricing.bytes_per_second
    if pricing.machine.sequential or transfer <= layer.compute:
        return
    names = {"a": "input", "b": "second input", "weight": "weights", "out": "output"}
    sizes = {names[name]: min(one.total, one.whole) for name, one in layer.moved.items()}
    shown = ", ".join(f"{what} {memory(size)}" for what, size in sizes.items())
    unit = layer.instruction.unit.name
    found = (
        f"{duration(transfer)} of transfers for {duration(layer.compute)} on unit {unit}: {shown}"
    )
    most = max(sizes, key=lambda what: sizes[what])
    change = "fewer or smaller weights" if most == "weights" else f"a smaller {most}"
    wide = layer.instruction.out if most == "output" else layer.instruction.a
    if most != "weights" and wide.dtype.size > 1:
        change += f": {wide.dtype.name} takes {wide.dtype.size} bytes where int8 takes one"
    elif most != "weights":
        change += " (channels, image), or SRAM that holds it between the layers"
    yield Advice("memory", (layer.task.layer,), found, change, transfer - layer.compute)


def _why_copied(layer: Layer, graph: Graph) -> tuple[str, str]:
    """Why a tensor could not be written directly into its place."""
    source = layer.task.a.tensor
    size = memory(_bytes(layer))
    made_by, uses = producers(graph), use_counts(graph)
    node = next((node for node in graph.nodes if node.name == layer.task.layer), None)
    moves = None if node is None else operator_of(node).moves
    if node is None or moves is None:
        found = f"output {source} is read by layers as well: {size} are copied"
        return found, "give the output a layer of its own, or leave it out"
    axis = node.attributes.get("axis")
    if axis in (1, 2):
        what = ("rows", "columns")[axis - 1]
        if moves is Moves.CUT:
            found = f"{what} are cut, {size} copied"
            return found, f"a layer before it that makes only these {what}"
        found = f"{what} are joined, {size} copied"
        return found, "as channels or as a batch they would be written in place"
    if moves is Moves.CUT:
        return f"a slice is copied, {size}", "opt O1 or higher makes it a view"
    if source in graph.inputs:
        found = f"{source}, an input of the program, is a part of a concat: {size} are copied"
        return found, "a layer between the two writes it in place"
    maker = made_by.get(source)
    if maker is not None and operator_of(maker).moves is Moves.CUT:
        if maker.inputs[0] in graph.inputs:
            found = f"{source}, a part of the input, goes into a concat: {size} are copied"
            return found, "an input that is joined already: two images as a batch, not as channels"
        found = f"{source}, a slice of {maker.inputs[0]}, is a part of a concat: {size} are copied"
        return found, "concat what the slice is cut from, or let a layer make it by itself"
    joined = [
        other.name
        for other in graph.nodes
        if operator_of(other).moves is Moves.JOIN and source in other.inputs
    ]
    if len(joined) > 1:
        others = ", ".join(name for name in joined if name != node.name)
        found = f"{source} is a part of {others} too: {size} are copied"
        return found, "concats that hold one another, each [new, previous] as in a dense block"
    if node.inputs.count(source) > 1:
        return f"{source} is there twice: {size} are copied", "name it once"
    if source in graph.outputs or uses[source] > 1:
        found = f"{source} is an output of the program and a part of a concat: {size} are copied"
        return found, "give the output a layer of its own"
    return f"{source} is copied, {size}", "opt O1 or higher writes it in place"


def _bytes(layer: Layer) -> int:
    n, height, width, channels = layer.task.out.shape
    return n * height * width * channels * layer.instruction.out.dtype.size


def _dilation(layer: Layer) -> int:
    return max(layer.instruction.dilation)


def _reach(layer: Layer) -> str:
    whole = layer.instruction
    if whole.reach:
        return f" by displacements up to {whole.reach}"
    kh, kw = whole.kernel
    dilation = f" with dilation {_dilation(layer)}" if _dilation(layer) > 1 else ""
    return f" by a kernel of {kh}x{kw}{dilation}"


def _skipped(layer: Layer) -> float:
    """The share of rows and columns, between the kernel's places, that no tap reads."""
    whole = layer.instruction
    if whole.transposed or whole.dilation != (1, 1):
        return 0.0
    kept = 1.0
    for kernel, stride in zip(whole.kernel, whole.stride, strict=True):
        kept *= min(kernel / stride, 1.0)
    return 1 - kept
