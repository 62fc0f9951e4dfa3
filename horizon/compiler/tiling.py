"""The shape of a layer's tiles: what fits the memory, and then the fewest tiles or bytes.

A layer's output is cut along batch, rows, columns and channels. Operands that are not in SRAM are
loaded into slots, those of the output stored from them. An operand whose part is the same for
consecutive tiles is loaded once; so the order of the tiles decides whether weights or inputs stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from horizon.compiler.geometry import needed
from horizon.compiler.tasks import Task, weight_layout
from horizon.hbm.records import ALIGNMENT, DataType, Quad, WeightLayout
from horizon.hbm.weights import BLOCK_OUTPUTS, packed_bytes

OUTER_CHANNELS = (3, 0, 1, 2)
INNER_CHANNELS = (0, 1, 2, 3)
NO_LIMIT = 2**62


@dataclass(frozen=True)
class Tiling:
    """How a task is cut.

    Attributes:
        shape: of a tile of the output, NHWC; those at the end may be smaller.
        order: the axes of the loops over tiles, outermost first.
        slots: operands that are loaded or stored, with bytes and number of their slots.
        traffic: bytes that are loaded and stored.
    """

    shape: Quad
    order: Quad
    slots: dict[str, tuple[int, int]]
    traffic: int

    @property
    def slot_bytes(self) -> int:
        return sum(size * count for size, count in self.slots.values())


@dataclass(frozen=True)
class Choices:
    """Which tilings :func:`choose_tiling` may take.

    Attributes:
        double_buffer: two slots for what is loaded or stored more than once.
        search: the fewest bytes in either order of loops, instead of the fewest tiles with the
            channels outside.
    """

    double_buffer: bool
    search: bool


def choose_tiling(
    task: Task, types: dict[str, DataType], streamed: frozenset[str], budget: int, choices: Choices
) -> Tiling | None:
    """The best tiling whose slots take at most ``budget`` bytes, None if there is none.

    Args:
        types: of the operands in SRAM.
        streamed: the operands that are not in SRAM: "out", "a", "b", "weight".
    """
    doubles = (True, False) if choices.double_buffer else (False,)
    orders = (OUTER_CHANNELS, INNER_CHANNELS) if choices.search else (OUTER_CHANNELS,)
    for double in doubles:
        found = [
            tiling
            for order in orders
            if (tiling := _Space(task, types, streamed, order, double).best(budget, choices.search))
        ]
        if found:
            return min(found, key=lambda tiling: tiling.traffic)
    return None


def smallest_bytes(task: Task, types: dict[str, DataType], streamed: frozenset[str]) -> int:
    """Bytes of the slots of the smallest tiling."""
    return int(_Space(task, types, streamed, OUTER_CHANNELS, False).need.min())


def whole_tiling(task: Task, types: dict[str, DataType], streamed: frozenset[str]) -> Tiling:
    """The tiling that cuts nothing."""
    options = [[side] for side in task.out.shape]
    tiling = _Space(task, types, streamed, OUTER_CHANNELS, False, options).best(NO_LIMIT, False)
    assert tiling is not None
    return tiling


class _Space:
    """All tile shapes of a task in one order of loops, as arrays over (batch, y, x, channels)."""

    def __init__(
        self,
        task: Task,
        types: dict[str, DataType],
        streamed: frozenset[str],
        order: Quad,
        double: bool,
        options: list[list[int]] | None = None,
    ) -> None:
        self.order = order
        sides = task.out.shape
        self.options = options or [_options(task, types, axis) for axis in range(4)]
        counts = [
            _along(axis, [-(-side // tile) for tile in self.options[axis]])
            for axis, side in enumerate(sides)
        ]
        self.tiles = _product(counts)
        self.bytes: dict[str, np.ndarray] = {}
        self.count: dict[str, np.ndarray] = {}
        self.traffic = np.zeros_like(self.tiles)
        if task.op == "copy":
            streamed -= {"out"}  # It goes through one slot.
        for name in sorted(streamed):
            largest, total, depends = _extents(task, types, name, self.options)
            fills = self._fills(counts, depends)
            self.bytes[name] = largest + -largest % ALIGNMENT
            self.count[name] = np.where(fills > 1, 2, 1) if double else np.ones_like(fills)
            # Passes over the operand, each of which moves it once as a whole.
            own = _product([counts[axis] for axis in depends]) if depends else 1
            self.traffic = self.traffic + total * (fills // own)
        self.need = sum(
            (self.bytes[name] * self.count[name] for name in self.bytes),
            np.zeros_like(self.tiles),
        )

    def _fills(self, counts: list[np.ndarray], depends: tuple[int, ...]) -> np.ndarray:
        """How often an operand's part changes from one tile to the next, the first included."""
        fills = np.ones_like(self.tiles)
        changing = np.zeros_like(self.tiles, bool)
        for axis in reversed(self.order):
            if axis in depends:
                changing = changing | (counts[axis] > 1)
                fills = fills * counts[axis]
            else:
                fills = fills * np.where(changing, counts[axis], 1)
        return fills

    def best(self, budget: int, fewest_bytes: bool) -> Tiling | None:
        need = self.need
        fits = np.flatnonzero(need <= budget)
        if not fits.size:
            return None
        columns = np.broadcast_to(_along(2, self.options[2]), need.shape)
        keys = [self.tiles, self.traffic] if fewest_bytes else [self.traffic, self.tiles]
        keys = [np.broadcast_to(key, need.shape).ravel()[fits] for key in (-columns, *keys)]
        index = np.unravel_index(fits[np.lexsort(keys)[0]], need.shape)

        def value(array: np.ndarray) -> int:
            return int(np.broadcast_to(array, need.shape)[index])

        n, y, x, c = (options[at] for options, at in zip(self.options, index, strict=True))
        slots = {name: (value(self.bytes[name]), value(self.count[name])) for name in self.bytes}
        return Tiling((n, y, x, c), self.order, slots, value(self.traffic))


def _options(task: Task, types: dict[str, DataType], axis: int) -> list[int]:
    """Sizes of tiles along an axis, largest first: a k-th of it for all k, rounded up."""
    side = task.out.shape[axis]
    step = 1
    if axis == 3 and task.op == "correlation":
        return [side]
    if axis == 3 and task.is_convolution:
        assert task.node is not None
        if weight_layout(task.node, types["a"].name) is WeightLayout.rows:
            return [side]
        step = BLOCK_OUTPUTS  # The blocks of weights that a tile needs lie together.
    blocks = -(-side // step)
    sizes = {min(-(-blocks // parts) * step, side) for parts in range(1, blocks + 1)}
    return sorted(sizes, reverse=True)


def _extents(
    task: Task, types: dict[str, DataType], name: str, options: list[list[int]]
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Bytes of an operand's largest part and of all parts, and the axes that parts vary in."""
    if name == "weight":
        assert task.node is not None
        outputs, *kernel = task.node.attributes["weight"].shape
        layout = weight_layout(task.node, types["a"].name)
        largest = [packed_bytes((tile, *kernel), layout) for tile in options[3]]
        total = packed_bytes((outputs, *kernel), layout)
        return _along(3, largest), np.full((1, 1, 1, 1), total, np.int64), (3,)
    shape = task.operands[name].shape
    larger, totals, depends = [], [], []
    for axis in range(4):
        if needed(task, name, axis, (0, 1)) is None:
            larger.append(_along(axis, [shape[axis]]))
            totals.append(_along(axis, [shape[axis]]))
            continue
        depends.append(axis)
        sizes = [_sizes(task, name, axis, tile) for tile in options[axis]]
        larger.append(_along(axis, [max(parts) for parts in sizes]))
        totals.append(_along(axis, [sum(parts) for parts in sizes]))
    size = types[name].size
    return _product(larger) * size, _product(totals) * size, tuple(depends)


def _sizes(task: Task, name: str, axis: int, tile: int) -> list[int]:
    side = task.out.shape[axis]
    sizes = []
    for start in range(0, side, tile):
        part = needed(task, name, axis, (start, min(start + tile, side)))
        assert part is not None
        sizes.append(part[1] - part[0])
    return sizes


def _along(axis: int, values: list[int]) -> np.ndarray:
    shape = [1, 1, 1, 1]
    shape[axis] = len(values)
    return np.array(values, np.int64).reshape(shape)


def _product(arrays: list[np.ndarray]) -> np.ndarray:
    return np.asarray(reduce(np.multiply, arrays))
