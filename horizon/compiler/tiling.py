"""How a layer is cut: the best tiling for each amount of memory, out of all tile shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from horizon.compiler.tile_shapes import Loops
from horizon.hbm.records import Quad

OUTER_CHANNELS = (3, 0, 1, 2)
INNER_CHANNELS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Tiling:
    """How a task is cut.

    Attributes:
        shape: of a tile of the output, NHWC; the last tiles along an axis may be smaller.
        order: the axes of the loops over tiles, outermost first.
        slots: for each operand that is loaded or stored, the bytes of a slot and their number.
        traffic: bytes that are loaded and stored.
        line_bytes: the same in whole lines of memory.
        transfers: number of loads and stores.
        cost: by the measure that chose the tiling; comparable within that measure only.
    """

    shape: Quad
    order: Quad
    slots: dict[str, tuple[int, int]]
    traffic: int
    line_bytes: int
    transfers: int
    cost: float

    @property
    def slot_bytes(self) -> int:
        return sum(size * count for size, count in self.slots.values())


# Which operands may have two slots. An operand that is loaded or stored once has one all the same.
DOUBLE = ("out", "a", "b", "weight")
SINGLE_WEIGHT = ("out", "a", "b")
SINGLE: tuple[str, ...] = ()


class Measure(Protocol):
    """What makes one tiling better than another."""

    def keys(self, loops: Loops) -> list[np.ndarray]:
        """The cost of each tile shape, then the keys that decide between equal costs."""
        ...

    def task_cost(self, cost: float, traffic: int) -> float:
        """The cost of a task that is cut so, by which resident tensors are chosen.

        Args:
            cost: of the tiling, by this measure.
            traffic: bytes that the tiling moves.
        """
        ...


class Tilings:
    """The useful tilings, best first: each needs less memory than all better ones."""

    def __init__(self, spaces: Sequence[Loops], measure: Measure) -> None:
        needs, keys, places, owners = [], [], [], []
        for number, loops in enumerate(spaces):
            shape = loops.need.shape
            found = [np.broadcast_to(key, shape).ravel() for key in measure.keys(loops)]
            ranks = np.lexsort(found[::-1])
            kept = ranks[_fewer(loops.need.ravel()[ranks])]
            needs.append(loops.need.ravel()[kept])
            keys.append(found[0][kept])
            places.append(kept)
            owners.append(np.full(len(kept), number))
        costs = np.concatenate(keys)
        ranks = np.argsort(costs, kind="stable")
        ranks = ranks[_fewer(np.concatenate(needs)[ranks])]
        self._spaces = spaces
        self._measure = measure
        self._needs = np.concatenate(needs)[ranks]
        self._costs = costs[ranks]
        self._places = np.concatenate(places)[ranks]
        self._owners = np.concatenate(owners)[ranks]

    def __len__(self) -> int:
        return len(self._needs)

    def __getitem__(self, number: int) -> Tiling:
        loops, place = self._spaces[self._owners[number]], int(self._places[number])
        slots = {
            name: (int(loops.at(loops.slot[name], place)), int(loops.at(loops.count[name], place)))
            for name in loops.slot
        }
        traffic = int(loops.at(loops.traffic, place))
        cost = self._measure.task_cost(float(self._costs[number]), traffic)
        line_bytes = round(sum(loops.at(part, place) for part in loops.line_bytes.values()))
        fills = sum(loops.at(part, place) for part in loops.fills.values())
        shape = loops.shape_at(place)
        return Tiling(shape, loops.order, slots, traffic, line_bytes, round(fills), cost)

    @property
    def smallest(self) -> int:
        """The fewest bytes of slots that any tiling needs."""
        return int(self._needs[-1])

    def within(self, budget: int) -> Tiling | None:
        """The best tiling whose slots take at most ``budget`` bytes; None if there is none."""
        first = int(np.searchsorted(-self._needs, -budget))
        return self[first] if first < len(self._needs) else None


def _fewer(need: np.ndarray) -> np.ndarray:
    """Indices of the entries that are smaller than all entries before them."""
    before = np.minimum.accumulate(need)[:-1]
    return np.flatnonzero(np.concatenate([[True], need[1:] < before]))
