"""Where each tensor lies: in a buffer of its own, or as a part of another tensor's.

A concat is a buffer whose inputs are written in place, as slices of its channels or its batch; a
slice of these is a view. Rows and columns are copied. Concats nest: in a dense block, whose every
concat is ``[new, previous]``, the last one's buffer holds them all. Where that cannot be (a tensor
in two concats, a slice in a concat, an input of the program), the tensor is copied; ``tasks`` finds
that from the places.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from horizon.compiler.passes.rewrite import producers, use_counts
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.operators import Moves, operator_of
from horizon.hbir.operators.moves import Move, Piece
from horizon.hbm.records import DataType, Quad, Space

WIDE_PIXEL = 128


@dataclass(frozen=True)
class Buffer:
    """Memory of one tensor and of what lies in it.

    Attributes:
        space: input or output for the caller's arrays; none where it is still to be chosen.
        shape, strides: NHWC, strides in bytes.
        index: which input or output.
    """

    name: str
    space: Space
    dtype: DataType
    shape: Quad
    strides: Quad
    index: int = 0

    @property
    def nbytes(self) -> int:
        return self.shape[0] * self.strides[0]


@dataclass(frozen=True)
class Place:
    """The part of a buffer where a tensor, or a part of one, starts."""

    buffer: str
    batch: int = 0
    channel: int = 0
    row: int = 0
    column: int = 0

    def moved(self, axis: int, start: int) -> Place:
        """``start`` elements further along an axis of N, H, W, C."""
        key = ("batch", "row", "column", "channel")[axis]
        return replace(self, **{key: getattr(self, key) + start})


@dataclass(frozen=True)
class PlacedGraph:
    """A program whose tensors have places.

    Attributes:
        places: by tensor; an input's place is the caller's array unless it is staged.
        staged: inputs of the program that are loaded as a whole into a buffer of their own.
        channels_last: inputs and outputs whose arrays are NHWC; the others are NCHW.
    """

    graph: Graph
    buffers: dict[str, Buffer]
    places: dict[str, Place]
    staged: tuple[str, ...]
    channels_last: tuple[str, ...] = ()


def place_tensors(
    graph: Graph,
    in_place: bool,
    stage_inputs: bool,
    input_type: DataType,
    channels_last: Iterable[str] = (),
) -> PlacedGraph:
    """Give every tensor its place.

    Args:
        in_place: let concats and slices be buffers and views; otherwise each tensor has a buffer.
        stage_inputs: load inputs that layers read as a whole, instead of tile by tile.
        input_type: uint8 or int8, the type of the caller's inputs where the program's are int8.
        channels_last: the inputs and outputs whose arrays are NHWC; the others are NCHW.
    """
    uses = use_counts(graph)
    made_by = producers(graph)
    last = tuple(channels_last)
    buffers: dict[str, Buffer] = {}
    places: dict[str, Place] = {}

    def own_buffer(name: str) -> Place:
        buffers[name] = dense_buffer(graph.tensors[name])
        return Place(name)

    def caller_buffer(name: str, space: Space, index: int) -> Place:
        key = io_name(space, name)
        info = graph.tensors[name]
        dtype = DataType[info.dtype]
        if space is Space.input and dtype is DataType.int8:
            dtype = input_type
        strides = (nhwc_strides if name in last else nchw_strides)(info.shape, dtype)
        buffers[key] = Buffer(key, space, dtype, info.shape, strides, index)
        return Place(key)

    staged = tuple(_read_by_layers(graph)) if stage_inputs else ()
    for index, name in enumerate(graph.inputs):
        place = caller_buffer(name, Space.input, index)
        places[name] = own_buffer(name) if name in staged else place
    for index, name in enumerate(graph.outputs):
        place = caller_buffer(name, Space.output, index)
        if uses[name] == 1 and name in made_by and _moves(made_by[name]) is None:
            places[name] = place
    for node in reversed(graph.nodes):
        if in_place and _is_view(graph, node):
            continue
        if node.output not in places:
            places[node.output] = own_buffer(node.output)
        if not in_place or _moves(node) is not Moves.JOIN:
            continue
        for piece in pieces_of(graph, node):
            name = node.inputs[piece.operand]
            if piece.is_view and name not in places and not _is_view(graph, made_by[name]):
                places[name] = places[node.output].moved(piece.axis, piece.result)
    for node in graph.nodes:
        if in_place and _is_view(graph, node):
            (piece,) = pieces_of(graph, node)
            source = places[node.inputs[piece.operand]]
            places[node.output] = source.moved(piece.axis, piece.source)
    return PlacedGraph(graph, buffers, places, staged, last)


def _read_by_layers(graph: Graph) -> Iterable[str]:
    """Inputs of the program that a layer reads, directly or as a slice."""
    origin = {name: name for name in graph.inputs}
    read: set[str] = set()
    for node in graph.nodes:
        if _is_view(graph, node) and node.inputs[0] in origin:
            origin[node.output] = origin[node.inputs[0]]
        elif _moves(node) is None:
            read.update(origin[name] for name in node.inputs if name in origin)
    return (name for name in graph.inputs if name in read)


def pieces_of(graph: Graph, node: Node) -> list[Piece]:
    """What the output of a node that only moves integers consists of."""
    operator = operator_of(node)
    assert isinstance(operator, Move)
    return operator.pieces(node, [graph.tensors[name].shape for name in node.inputs])


def _is_view(graph: Graph, node: Node) -> bool:
    """Whether a node gives a part of its input that can be read where it lies."""
    return _moves(node) is Moves.CUT and all(piece.is_view for piece in pieces_of(graph, node))


def _moves(node: Node) -> Moves | None:
    return operator_of(node).moves


def io_name(space: Space, tensor: str) -> str:
    """The name of the caller's array for an input or output; no tensor is called so."""
    return f"{space.name} {tensor}"


def dense_buffer(info: TensorInfo) -> Buffer:
    """A buffer for a tensor; a pixel starts at a multiple of 4 bytes, a wide one of 16.

    Pixels of up to 4 bytes, such as an image's three, lie side by side: the kernels interleave and
    pack those quickest.
    """
    dtype = DataType[info.dtype]
    return Buffer(info.name, Space.none, dtype, info.shape, dense_strides(info.shape, dtype))


def dense_strides(shape: Quad, dtype: DataType) -> Quad:
    """Bytes, NHWC; the gaps are those of ``dense_buffer``."""
    _, height, width, channels = shape
    pixel = channels * dtype.size
    align = 16 if pixel >= WIDE_PIXEL else 4 if pixel > 4 else 1
    pixel += -pixel % align
    row = width * pixel
    return height * row, row, pixel, dtype.size


def nchw_strides(shape: Quad, dtype: DataType) -> Quad:
    """Bytes, of a caller's array NCHW without gaps, seen as NHWC."""
    _, height, width, channels = shape
    row = width * dtype.size
    return channels * height * row, row, dtype.size, height * row


def nhwc_strides(shape: Quad, dtype: DataType) -> Quad:
    """Bytes, of a caller's array NHWC without gaps."""
    _, height, width, channels = shape
    pixel = channels * dtype.size
    return height * width * pixel, width * pixel, pixel, dtype.size
