"""Measures of tilings: the number of tiles, the bytes moved, or a balance of times.

No measure depends on the machine's speed. A machine and a faster one therefore get the same plans,
and the faster machine is never slower (``docs/compiler.md``, "Search").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from horizon.compiler.tile_shapes import Loops, TileShapes
from horizon.compiler.tiling import DOUBLE, SINGLE, SINGLE_WEIGHT
from horizon.hbir.operators import Products, operator_of
from horizon.hbm.records import DataType

# Waiting for memory as a factor on tiles or bytes: with everything double buffered; with everything
# but the weights, which seldom change; with nothing.
WAITING = {DOUBLE: 1.0, SINGLE_WEIGHT: 1.2, SINGLE: 3.0}
# Bytes that a unit other than the tensor unit processes while the memory moves one byte.
SIMPLE_RATE = 8


@dataclass(frozen=True)
class FewestTiles:
    """Prefers the fewest tiles; of equals, the fewest bytes."""

    def keys(self, loops: Loops) -> list[np.ndarray]:
        tiles = loops.shapes.tiles
        return [tiles * WAITING[loops.doubled], loops.traffic, -_widths(loops)]

    def task_cost(self, cost: float, traffic: int) -> float:
        return traffic


@dataclass(frozen=True)
class FewestBytes:
    """Prefers the fewest bytes; of equals, the fewest tiles."""

    def keys(self, loops: Loops) -> list[np.ndarray]:
        tiles = loops.shapes.tiles
        return [loops.traffic * WAITING[loops.doubled], tiles, -_widths(loops)]

    def task_cost(self, cost: float, traffic: int) -> float:
        return traffic


@dataclass(frozen=True)
class Balance:
    """Prefers the shortest time on a machine of these proportions.

    The unit of time is that in which the memory moves one byte.

    Attributes:
        products: multiply-accumulates per unit of time.
        startup: time of each load's or store's startup.
        array: pixels, inputs and outputs that the tensor unit processes at once.
    """

    products: float
    startup: float
    array: tuple[int, int, int]

    def keys(self, loops: Loops) -> list[np.ndarray]:
        return [self._time(loops), loops.traffic, loops.shapes.tiles, -_widths(loops)]

    def task_cost(self, cost: float, traffic: int) -> float:
        return cost

    def _time(self, loops: Loops) -> np.ndarray:
        """Time of a task. Transfers and arithmetic overlap, with two exceptions.

        Nothing overlaps the first load and the last store. An operand with one slot is loaded while
        nothing is computed, each time but the first.
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
                # The first tile's weights are loaded while the layer before runs.
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
            pixels = 1  # Pixels share no inputs.
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
    """How many groups of ``size`` a side consists of when it is cut into tiles."""
    tile = np.array(tiles, np.int64)
    return side // tile * -(-tile // size) + -(-(side % tile) // size)


def _widths(loops: Loops) -> np.ndarray:
    return np.array(loops.shapes.options[2], np.int64).reshape(1, 1, -1, 1)
