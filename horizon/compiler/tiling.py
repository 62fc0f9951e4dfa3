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
from horizon.hbm.records import DataType, Quad, WeightLayout
from horizon.hbm.weights import BLOCK_OUTPUTS, packed_bytes

OUTER_CHANNELS = (3, 0, 1, 2)
INNER_CHANNELS = (0, 1, 2, 3)


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
    """Which tilings there are to choose from.

    Attributes:
        double_buffer: two slots for what is loaded or stored more than once, where they pay.
        search: the fewest bytes in either order of loops, instead of the fewest tiles with the
            channels outside.
        alignment: bytes; sizes of slots are multiples of it.
    """

    double_buffer: bool
    search: bool
    alignment: int


# What waiting for memory costs, as a factor on tiles or bytes: nothing waits; weights, which seldom
# change, are not loaded ahead; nothing is.
DOUBLE = (("out", "a", "b", "weight"), 1.0)
SINGLE_WEIGHT = (("out", "a", "b"), 1.2)
SINGLE: tuple[tuple[str, ...], float] = ((), 3.0)


def list_tilings(
    task: Task, types: dict[str, DataType], streamed: frozenset[str], choices: Choices
) -> list[Tiling]:
    """The tilings worth having, best first: each needs fewer bytes than those before it.

    Args:
        types: of the operands in SRAM.
        streamed: the operands that are not in SRAM: "out", "a", "b", "weight".
    """
    ways = (DOUBLE, SINGLE_WEIGHT, SINGLE) if choices.double_buffer else (SINGLE,)
    orders = (OUTER_CHANNELS, INNER_CHANNELS) if choices.search else (OUTER_CHANNELS,)
    options = [_options(task, types, axis) for axis in range(4)]
    parts = _all_parts(task, types, streamed, options)
    found = []
    for order in orders:
        for doubled, factor in ways:
            space = _Space(task, options, parts, order, doubled, choices.alignment)
            found += [(cost * factor, tiling) for cost, tiling in space.best(choices.search)]
    found.sort(key=lambda pair: pair[0])
    result: list[Tiling] = []
    for _, tiling in found:
        if not result or tiling.slot_bytes < result[-1].slot_bytes:
            result.append(tiling)
    return result


def whole_tiling(
    task: Task, types: dict[str, DataType], streamed: frozenset[str], alignment: int
) -> Tiling:
    """The tiling that cuts nothing."""
    options = [[side] for side in task.out.shape]
    parts = _all_parts(task, types, streamed, options)
    ((_, tiling),) = _Space(task, options, parts, OUTER_CHANNELS, (), alignment).best(False)
    return tiling


@dataclass(frozen=True)
class _Parts:
    """Bytes of an operand's largest part and of all parts, by tile; the axes that parts vary in."""

    largest: np.ndarray
    total: np.ndarray
    axes: tuple[int, ...]


class _Space:
    """All tile shapes of a task in one order of loops, as arrays over (batch, y, x, channels)."""

    def __init__(
        self,
        task: Task,
        options: list[list[int]],
        parts: dict[str, _Parts],
        order: Quad,
        doubled: tuple[str, ...],
        alignment: int,
    ) -> None:
        self.order = order
        self.options = options
        sides = task.out.shape
        counts = [
            _along(axis, [-(-side // tile) for tile in self.options[axis]])
            for axis, side in enumerate(sides)
        ]
        self.tiles = _product(counts)
        self.bytes: dict[str, np.ndarray] = {}
        self.count: dict[str, np.ndarray] = {}
        self.traffic = np.zeros_like(self.tiles)
        for name, part in parts.items():
            fills = self._fills(counts, part.axes)
            self.bytes[name] = part.largest + -part.largest % alignment
            self.count[name] = np.where(fills > 1, 2, 1) if name in doubled else np.ones_like(fills)
            # Passes over the operand, each of which moves it once as a whole.
            own = _product([counts[axis] for axis in part.axes]) if part.axes else 1
            self.traffic = self.traffic + part.total * (fills // own)
        self.need = sum(
            (self.bytes[name] * self.count[name] for name in self.bytes),
            np.zeros_like(self.tiles),
        )

    def _fills(self, counts: list[np.ndarray], axes: tuple[int, ...]) -> np.ndarray:
        """How often an operand's part changes from one tile to the next, the first included."""
        fills = np.ones_like(self.tiles)
        changing = np.zeros_like(self.tiles, bool)
        for axis in reversed(self.order):
            if axis in axes:
                changing = changing | (counts[axis] > 1)
                fills = fills * counts[axis]
            else:
                fills = fills * np.where(changing, counts[axis], 1)
        return fills

    def best(self, fewest_bytes: bool) -> list[tuple[float, Tiling]]:
        """Costs and tilings, best first, each of which needs fewer bytes than those before it."""
        keys = [self.tiles, self.traffic] if fewest_bytes else [self.traffic, self.tiles]
        keys.insert(0, -_along(2, self.options[2]))
        shape = self.need.shape
        flat = [np.broadcast_to(key, shape).ravel() for key in keys]
        ranks = np.lexsort(flat)
        need = self.need.ravel()[ranks]
        # Those that need less than all before them.
        kept = ranks[np.concatenate([[True], need[1:] < np.minimum.accumulate(need)[:-1]])]
        return [(float(flat[-1][at]), self._tiling(np.unravel_index(at, shape))) for at in kept]

    def _tiling(self, index: tuple) -> Tiling:
        def value(array: np.ndarray) -> int:
            return int(array[tuple(np.minimum(index, np.array(array.shape) - 1))])

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


def _all_parts(
    task: Task, types: dict[str, DataType], streamed: frozenset[str], options: list[list[int]]
) -> dict[str, _Parts]:
    if task.op == "copy":
        streamed -= {"out"}  # It goes through one slot.
    return {name: _parts(task, types, name, options) for name in sorted(streamed)}


def _parts(task: Task, types: dict[str, DataType], name: str, options: list[list[int]]) -> _Parts:
    if name == "weight":
        assert task.node is not None
        outputs, *kernel = task.node.attributes["weight"].shape
        layout = weight_layout(task.node, types["a"].name)
        largest = [packed_bytes((tile, *kernel), layout) for tile in options[3]]
        total = packed_bytes((outputs, *kernel), layout)
        return _Parts(_along(3, largest), np.full((1, 1, 1, 1), total, np.int64), (3,))
    shape = task.operands[name].shape
    larger, totals, axes = [], [], []
    for axis in range(4):
        if needed(task, name, axis, (0, 1)) is None:
            larger.append(_along(axis, [shape[axis]]))
            totals.append(_along(axis, [shape[axis]]))
            continue
        axes.append(axis)
        sizes = [_sizes(task, name, axis, tile) for tile in options[axis]]
        larger.append(_along(axis, [max(sides) for sides in sizes]))
        totals.append(_along(axis, [sum(sides) for sides in sizes]))
    size = types[name].size
    return _Parts(_product(larger) * size, _product(totals) * size, tuple(axes))


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
