"""What there is to do, in order: the layers, and the copies that places could not avoid."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.compiler.layout import Place, PlacedGraph, io_name
from horizon.hbir.graph import Node
from horizon.hbm.records import DataType, Quad, Space, WeightLayout
from horizon.hbm.weights import layout_for


@dataclass(frozen=True)
class Operand:
    """A part of a tensor and where it lies.

    Attributes:
        shape: NHWC, of the part.
        place: of the part's first element.
        start: (n, y, x, c) of that element in the tensor.
    """

    tensor: str
    shape: Quad
    place: Place
    start: Quad = (0, 0, 0, 0)


@dataclass(frozen=True)
class Task:
    """One layer, or one copy.

    Attributes:
        op: an operator of the graph, or "copy".
        layer: the node that it belongs to.
        node: None for a copy.
    """

    op: str
    layer: str
    out: Operand
    a: Operand
    b: Operand | None = None
    node: Node | None = None

    @property
    def operands(self) -> dict[str, Operand]:
        """What it reads and writes, the weights aside."""
        named = {"out": self.out, "a": self.a}
        return named if self.b is None else named | {"b": self.b}

    @property
    def is_convolution(self) -> bool:
        return self.op in ("conv2d", "conv_transpose2d")


def list_tasks(placed: PlacedGraph) -> list[Task]:
    """The tasks of a program in an order in which they can be carried out."""
    graph = placed.graph
    tasks = []
    for name in placed.staged:
        out = _whole(placed, name)
        array = Operand(name, out.shape, Place(io_name(Space.input, name)))
        tasks.append(Task("copy", name, out, array))
    tasks += [_store(placed, name, name) for name in graph.outputs if name in graph.inputs]
    for node in graph.nodes:
        if node.op == "concat":
            tasks += _concat(placed, node)
        elif node.op == "slice":
            tasks += _slice(placed, node)
        else:
            out, a, *b = (_whole(placed, name) for name in (node.output, *node.inputs))
            tasks.append(Task(node.op, node.name, out, a, b[0] if b else None, node))
        if node.output in graph.outputs:
            place = placed.places[node.output]
            if place.buffer != io_name(Space.output, node.output):
                tasks.append(_store(placed, node.name, node.output))
    return tasks


def weight_layout(node: Node, input_dtype: str) -> WeightLayout:
    """Rows for a few outputs of int8 inputs, where blocks of 16 would be mostly empty."""
    return layout_for(node.attributes["weight"].shape[0], DataType[input_dtype])


def _whole(placed: PlacedGraph, name: str) -> Operand:
    return Operand(name, placed.graph.tensors[name].shape, placed.places[name])


def _store(placed: PlacedGraph, layer: str, name: str) -> Task:
    target = Place(io_name(Space.output, name))
    out = Operand(name, placed.graph.tensors[name].shape, target)
    return Task("copy", layer, out, _whole(placed, name))


def _concat(placed: PlacedGraph, node: Node) -> list[Task]:
    axis = node.attributes["axis"]
    place = placed.places[node.output]
    start = [0, 0, 0, 0]
    tasks = []
    for name in node.inputs:
        part = _whole(placed, name)
        if part.place != place:
            n, y, x, c = start
            out = Operand(node.output, part.shape, place, (n, y, x, c))
            tasks.append(Task("copy", node.name, out, part))
        place = place.moved(axis, part.shape[axis])
        start[axis] += part.shape[axis]
    return tasks


def _slice(placed: PlacedGraph, node: Node) -> list[Task]:
    axis, begin = node.attributes["axis"], node.attributes["start"]
    out = _whole(placed, node.output)
    place = placed.places[node.inputs[0]].moved(axis, begin)
    if place == out.place:
        return []
    start = (begin, 0, 0, 0) if axis == 0 else (0, 0, 0, begin)
    return [Task("copy", node.name, out, Operand(node.inputs[0], out.shape, place, start))]
