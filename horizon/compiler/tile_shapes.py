"""All ways to cut a layer: tile shapes as arrays, with the bytes that each needs and moves.

A layer's output is cut along batch, rows, columns and channels. Operands that are not in SRAM are
loaded into slots; an output that is not in SRAM is stored from one. If consecutive tiles need the
same part of an operand, it is loaded once. The order of the tiles therefore decides whether weights
or inputs stay in SRAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from horizon.compiler.geometry import needed, needed_places
from horizon.compiler.layout import Buffer
from horizon.compiler.tasks import Task, weight_layout
from horizon.hbir.operators import operator_of
from horizon.hbm.records import DataType, Quad
from horizon.hbm.weights import block_outputs, packed_bytes

# Memory moves whole lines of this many bytes. A fixed number: choices do not depend on a machine's.
LINE = 64


@dataclass(frozen=True)
class OperandParts:
    """The parts of an operand that tiles need, for every tile shape.

    Attributes:
        largest: bytes of the largest part.
        element: bytes of one element of the sides.
        axes: the axes along which parts vary.
        sides: by axis, two sums of the parts' sides: over all tiles, and over the tiles whose part
            differs from the previous tile's. Along an axis where parts do not vary, both are the
            whole side.
        changes: for each of ``axes``, the number of tiles whose part differs from the previous
            tile's.
        rounded: bytes of whole memory lines per byte of the parts, at least 1.
    """

    largest: np.ndarray
    element: int
    axes: tuple[int, ...]
    sides: dict[int, tuple[np.ndarray, np.ndarray]]
    changes: dict[int, np.ndarray]
    rounded: np.ndarray


class TileShapes:
    """All tile shapes of a task, as arrays over (batch, y, x, channels).

    Attributes:
        options: sizes of tiles along each axis.
        parts: of the operands that are loaded or stored.
    """

    def __init__(
        self,
        task: Task,
        types: dict[str, DataType],
        buffers: Mapping[str, Buffer],
        streamed: frozenset[str],
        alignment: int,
        whole: bool = False,
    ) -> None:
        """
        Args:
            types: of the operands in SRAM.
            buffers: the buffers of the operands.
            streamed: the operands that are not in SRAM: "out", "a", "b", "weight".
            alignment: bytes; sizes of slots are multiples of it.
            whole: only the shape that cuts nothing.
        """
        sides = task.out.shape
        self.task = task
        self.types = types
        self.alignment = alignment
        self.options = (
            [[side] for side in sides]
            if whole
            else [_options(task, types, axis) for axis in range(4)]
        )
        self.parts = _all_parts(task, types, buffers, streamed, self.options)
        self.counts = [
            _along(axis, [-(-side // tile) for tile in self.options[axis]])
            for axis, side in enumerate(sides)
        ]
        self.tiles = _product(self.counts)
        self._loops: dict[tuple[Quad, tuple[str, ...]], Loops] = {}

    def loops(self, order: Quad, doubled: tuple[str, ...]) -> Loops:
        key = order, doubled
        if key not in self._loops:
            self._loops[key] = Loops(self, order, doubled)
        return self._loops[key]


class Loops:
    """All tile shapes of a task for one order of loops and one choice of double buffering.

    Attributes:
        fills: by operand, the number of loads or stores.
        moved, line_bytes: by operand, the bytes that these move; the same in whole memory lines.
        traffic: bytes moved for all operands.
        need: bytes of all slots.
    """

    def __init__(self, shapes: TileShapes, order: Quad, doubled: tuple[str, ...]) -> None:
        self.shapes = shapes
        self.order = order
        self.doubled = doubled
        self.slot: dict[str, np.ndarray] = {}
        self.count: dict[str, np.ndarray] = {}
        self.fills: dict[str, np.ndarray] = {}
        self.moved: dict[str, np.ndarray] = {}
        self.line_bytes: dict[str, np.ndarray] = {}
        nothing = np.zeros_like(shapes.tiles)
        for name, part in shapes.parts.items():
            fills, moved = self._fills(part)
            self.fills[name] = fills
            self.slot[name] = part.largest + -part.largest % shapes.alignment
            self.count[name] = np.where(fills > 1, 2, 1) if name in doubled else np.ones_like(fills)
            self.moved[name] = moved
            self.line_bytes[name] = self.moved[name] * part.rounded
        self.traffic = sum(self.moved.values(), nothing)
        self.need = sum((self.slot[name] * self.count[name] for name in self.slot), nothing)

    def _fills(self, part: OperandParts) -> tuple[np.ndarray, np.ndarray]:
        """How often an operand is loaded: for the first tile, and whenever its part changes.

        Neighbouring tiles may need the same part, where a map is enlarged or where tiles see only
        padding. If an inner loop changes the part anyway, it is loaded again for each of them.

        Returns:
            The number of loads, and the bytes that they move.
        """
        counts = self.shapes.counts
        fills = np.ones_like(self.shapes.tiles)
        moved = fills * part.element
        changing = np.zeros_like(fills, bool)
        for axis in reversed(self.order):
            every, new = part.sides[axis]
            if axis in part.axes:
                fills = fills * np.where(changing, counts[axis], part.changes[axis])
                moved = moved * np.where(changing, every, new)
                changing = changing | (part.changes[axis] > 1)
            else:
                again = np.where(changing, counts[axis], 1)
                fills, moved = fills * again, moved * again * every
        return fills, moved

    def at(self, array: np.ndarray, place: int) -> float:
        """The value of an array for the tile shape with this flat index."""
        index = np.unravel_index(place, self.need.shape)
        return float(array[tuple(np.minimum(index, np.array(array.shape) - 1))])

    def shape_at(self, place: int) -> Quad:
        """The tile shape with this flat index."""
        index = np.unravel_index(place, self.need.shape)
        n, y, x, c = (sizes[at] for sizes, at in zip(self.shapes.options, index, strict=True))
        return n, y, x, c


def _options(task: Task, types: dict[str, DataType], axis: int) -> list[int]:
    """Tile sizes along an axis, largest first: the side divided by 1, 2, 3, ..., rounded up."""
    side = task.out.shape[axis]
    step = 1
    if task.node is not None:
        operator = operator_of(task.node)
        if axis and not (operator.cuts_channels if axis == 3 else operator.cuts_map):
            return [side]
    if axis == 3 and task.weighted:
        together = block_outputs(weight_layout(task.computed, types["a"].name))
        if together is None:
            return [side]
        step = together  # Multiples of a block: a tile's weights then lie together.
    blocks = -(-side // step)
    sizes = {min(-(-blocks // parts) * step, side) for parts in range(1, blocks + 1)}
    return sorted(sizes, reverse=True)


def _all_parts(
    task: Task,
    types: dict[str, DataType],
    buffers: Mapping[str, Buffer],
    streamed: frozenset[str],
    options: list[list[int]],
) -> dict[str, OperandParts]:
    if task.is_copy:
        streamed -= {"out"}  # A copy needs one slot: it stores from where it has loaded.
    return {
        name: _weights(task, types, options)
        if name == "weight"
        else _parts(task, types, buffers, name, options)
        for name in sorted(streamed)
    }


def _weights(task: Task, types: dict[str, DataType], options: list[list[int]]) -> OperandParts:
    outputs, *kernel = task.computed.attributes["weight"].shape
    layout = weight_layout(task.computed, types["a"].name)
    largest = _along(3, [packed_bytes((tile, *kernel), layout) for tile in options[3]])
    total = np.full((1, 1, 1, 1), packed_bytes((outputs, *kernel), layout), np.int64)
    one = np.ones((1, 1, 1, 1), np.int64)
    sides = dict.fromkeys(range(3), (one, one)) | {3: (total, total)}
    changes = {3: _along(3, [-(-outputs // tile) for tile in options[3]])}
    return OperandParts(largest, 1, (3,), sides, changes, one)


def _parts(
    task: Task,
    types: dict[str, DataType],
    buffers: Mapping[str, Buffer],
    name: str,
    options: list[list[int]],
) -> OperandParts:
    operand = task.operands[name]
    larger, sides, changes = [], {}, {}
    for axis in range(4):
        if needed(task, name, axis, (0, 1)) is None:
            whole = _along(axis, [operand.shape[axis]])
            larger.append(whole)
            sides[axis] = whole, whole
            continue
        places = [_places(task, name, axis, tile) for tile in options[axis]]
        lengths = [stops - starts for starts, stops in places]
        new = [_changes(*place) for place in places]
        larger.append(_along(axis, [int(length.max()) for length in lengths]))
        every = _along(axis, [int(length.sum()) for length in lengths])
        once = [int(length[first].sum()) for length, first in zip(lengths, new, strict=True)]
        sides[axis] = every, _along(axis, once)
        changes[axis] = _along(axis, [int(first.sum()) for first in new])
    size = types[name].size
    run = _runs(larger, buffers[operand.place.buffer])
    rounded = -(-run // LINE) * LINE / run
    return OperandParts(_product(larger) * size, size, tuple(changes), sides, changes, rounded)


def _changes(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Which parts differ from the previous part."""
    same = (starts[1:] == starts[:-1]) & (stops[1:] == stops[:-1])
    return np.concatenate([[True], ~same])


def _runs(sides: list[np.ndarray], buffer: Buffer) -> np.ndarray:
    """Bytes of a contiguous run in a box with these sides of a buffer."""
    run = np.full((1, 1, 1, 1), buffer.dtype.size, np.int64)
    whole = np.ones_like(run, bool)
    for axis in sorted(range(4), key=lambda axis: (buffer.strides[axis], -axis)):
        # Runs join along this axis if the box spans all inner axes and the buffer has no gaps.
        whole = whole & (run == buffer.strides[axis])
        run = np.where(whole, run * sides[axis], run)
    return run


def _places(task: Task, name: str, axis: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the parts of tiles begin and end along an axis."""
    side = task.out.shape[axis]
    starts = np.arange(0, side, tile)
    return needed_places(task, name, axis, starts, np.minimum(starts + tile, side))


def _along(axis: int, values: list[int]) -> np.ndarray:
    shape = [1, 1, 1, 1]
    shape[axis] = len(values)
    return np.array(values, np.int64).reshape(shape)


def _product(arrays: list[np.ndarray]) -> np.ndarray:
    return np.asarray(reduce(np.multiply, arrays))
