"""What makes one way to cut a layer better than another: tiles, bytes, or a balance of times.

None of them knows how fast a machine is. So the plans that they lead to are the same for a machine
and for a faster one, which then is never slower (``docs/compiler.md``, "Search").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from horizon.compiler.tile_shapes import Loops, TileShapes
from horizon.compiler.tiling import DOUBLE, SINGLE, SINGLE_WEIGHT
from horizon.hbir.operators import Products, operator_of
from horizon.hbm.records import DataType

# What waiting for memory costs, as a factor on tiles or bytes: nothing waits; weights, which seldom
# change, are not loaded ahead; nothing is.
WAITING = {DOUBLE: 1.0, SINGLE_WEIGHT: 1.2, SINGLE: 3.0}
# Bytes that the units without products handle while the memory moves one.
SIMPLE_RATE = 8


@dataclass(frozen=True)
class FewestTiles:
    """The fewest tiles, and of those the fewest bytes."""

    def keys(self, loops: Loops) -> list[np.ndarray]:
        tiles = loops.shapes.tiles
        return [tiles * WAITING[loops.doubled], loops.traffic, -_widths(loops)]

    def task_cost(self, cost: float, traffic: int) -> float:
        return traffic


@dataclass(frozen=True)
class FewestBytes:
    """The fewest bytes, and of those the fewest tiles."""

    def keys(self, loops: Loops) -> list[np.ndarray]:
        tiles = loops.shapes.tiles
        return [loops.traffic * WAITING[loops.doubled], tiles, -_widths(loops)]

    def task_cost(self, cost: float, traffic: int) -> float:
        return traffic


@dataclass(frozen=True)
class Balance:
    """The shortest time on a machine of these proportions; the unit of time is a byte of memory.

    Attributes:
        products: multiply-accumulates in that time.
        startup: of each load and store.
        array: pixels, inputs and outputs that the tensor unit takes at once.
    """

    products: float
    startup: float
    array: tuple[int, int, int]

    def keys(self, loops: Loops) -> list[np.ndarray]:
        return [self._time(loops), loops.traffic, loops.shapes.tiles, -_widths(loops)]

    def task_cost(self, cost: float, traffic: int) -> float:
        return cost

    def _time(self, loops: Loops) -> np.ndarray:
        """Memory and arithmetic work side by side; the first load and the last store stand alone.

        What has one slot is loaded while nothing is computed, each time but the first.
        """
        tiles = loops.shapes.tiles
        compute = self._work(loops.shapes) + tiles * self.startup / 2
        memory = np.zeros(tiles.shape)
        alone = np.zeros(tiles.shape)
        edges = np.zeros(tiles.shape)
        for name, fills in loops.fills.items():
            time = loops.line_bytes[name] + fills * self.startup
            memory = memory + time
            if name not in loops.doubled:
                alone = alone + time * (1 - 1 / fills)
            if name != "weight":
                # Weights of the first tile are loaded during the layer before.
                edges = edges + time / fills
        side_by_side = np.maximum(memory - alone + compute / tiles, compute + edges)
        return np.asarray(side_by_side + alone)

    def _work(self, shapes: TileShapes) -> np.ndarray:
        task = shapes.task
        batch, height, width, channels = task.out.shape
        products = None if task.node is None else operator_of(task.node).products
        if products is None:
            size = batch * height * width * channels * shapes.types["out"].size
            return np.full((1, 1, 1, 1), size / SIMPLE_RATE)
        pixels, inputs, outputs = self.array
        operator = operator_of(task.computed)
        taps = operator.taps(task.computed)
        if products is Products.PAIRS:
            pixels = 1  # Each pixel has inputs of its own.
        if shapes.types["a"] is DataType.int16:
            taps *= 2
        groups = [
            _groups(width, shapes.options[2], pixels).reshape(1, 1, -1, 1),
            _groups(channels, shapes.options[3], outputs).reshape(1, 1, 1, -1),
        ]
        depth = -(-operator.channels_read(task.computed, task.shapes) // inputs)
        steps = batch * height * taps * depth * reduce(np.multiply, groups)
        return np.asarray(steps * (pixels * inputs * outputs / self.products))


def _groups(side: int, tiles: list[int], size: int) -> np.ndarray:
    """Groups of ``size`` that a side has when it is cut into tiles."""
    tile = np.array(tiles, np.int64)
    return side // tile * -(-tile // size) + -(-(side % tile) // size)


def _widths(loops: Loops) -> np.ndarray:
    return np.array(loops.shapes.options[2], np.int64).reshape(1, 1, -1, 1)
