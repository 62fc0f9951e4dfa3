"""The tasks of a program, in order: its layers, and the copies that the layout needs."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.compiler.layout import Place, PlacedGraph, io_name
from horizon.hbir.node import Node
from horizon.hbir.operators import operator_of
from horizon.hbir.operators.conv2d import is_depthwise
from horizon.hbir.operators.moves import Move, with_side
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
        layer: name of the node that the task belongs to.
        node: None for a copy.
        shapes: shapes of the node's whole inputs.
    """

    layer: str
    out: Operand
    a: Operand
    b: Operand | None = None
    node: Node | None = None
    shapes: tuple[Quad, ...] = ()

    @property
    def operands(self) -> dict[str, Operand]:
        """The operands that the task reads and writes, without weights."""
        named = {"out": self.out, "a": self.a}
        return named if self.b is None else named | {"b": self.b}

    @property
    def is_copy(self) -> bool:
        return self.node is None

    @property
    def weighted(self) -> bool:
        """Whether it reads weights besides its operands."""
        return self.node is not None and operator_of(self.node).weighted

    @property
    def computed(self) -> Node:
        """The task's node; the task must not be a copy."""
        assert self.node is not None
        return self.node


def list_tasks(placed: PlacedGraph) -> list[Task]:
    """The tasks of a program, in an order that is legal to execute."""
    graph = placed.graph
    tasks = []
    for name in placed.staged:
        out = _whole(placed, name)
        array = Operand(name, out.shape, Place(io_name(Space.input, name)))
        tasks.append(Task(name, out, array))
    tasks += [_store(placed, name, name) for name in graph.outputs if name in graph.inputs]
    for node in graph.nodes:
        operator = operator_of(node)
        if isinstance(operator, Move):
            tasks += _moves(placed, node, operator)
        else:
            out, a, *b = (_whole(placed, name) for name in (node.output, *node.inputs))
            shapes = tuple(graph.tensors[name].shape for name in node.inputs)
            tasks.append(Task(node.name, out, a, b[0] if b else None, node, shapes))
        if node.output in graph.outputs:
            place = placed.places[node.output]
            if place.buffer != io_name(Space.output, node.output):
                tasks.append(_store(placed, node.name, node.output))
    return tasks


def weight_layout(node: Node, input_dtype: str) -> WeightLayout:
    """How the weights of a convolution lie: ``hbm.weights.layout_for``."""
    outputs = node.attributes["weight"].shape[0]
    return layout_for(outputs, DataType[input_dtype], is_depthwise(node))


def _whole(placed: PlacedGraph, name: str) -> Operand:
    return Operand(name, placed.graph.tensors[name].shape, placed.places[name])


def _store(placed: PlacedGraph, layer: str, name: str) -> Task:
    target = Place(io_name(Space.output, name))
    out = Operand(name, placed.graph.tensors[name].shape, target)
    return Task(layer, out, _whole(placed, name))


def _moves(placed: PlacedGraph, node: Node, operator: Move) -> list[Task]:
    """Copies of the pieces that are not yet at their place in the node's output."""
    shapes = [placed.graph.tensors[name].shape for name in node.inputs]
    tasks = []
    for piece in operator.pieces(node, shapes):
        source = node.inputs[piece.operand]
        shape = with_side(shapes[piece.operand], piece.axis, piece.size)
        begin = (with_side((0, 0, 0, 0), piece.axis, at) for at in (piece.result, piece.source))
        places = (
            placed.places[name].moved(piece.axis, at)
            for name, at in ((node.output, piece.result), (source, piece.source))
        )
        out, a = (
            Operand(name, shape, place, start)
            for name, place, start in zip((node.output, source), places, begin, strict=True)
        )
        if out.place != a.place:
            tasks.append(Task(node.name, out, a))
    return tasks
