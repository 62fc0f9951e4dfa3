"""Choose the layers that run stripe by stripe, and the number of stripes.

A cascade's cost counts bytes in whole lines of memory, startups, and products that are computed
twice. Like the measures of tilings, it does not depend on the machine's speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from horizon.compiler.cascade import Cascade, Group, Stripe, make_stripe
from horizon.compiler.layout import Buffer, PlacedGraph
from horizon.compiler.levels import Proportions
from horizon.compiler.plan import Plan
from horizon.compiler.tasks import Operand, Task, weight_layout
from horizon.compiler.tile_shapes import LINE
from horizon.hbir.operators import operator_of
from horizon.hbm.records import DataType, Space, WeightLayout
from horizon.hbm.weights import block_outputs, packed_bytes

STRIPES = (2, 3, 4, 6, 8, 12, 16, 24, 32)
LONGEST = 12
STARTUP = 1024  # bytes of memory that could be moved while a load or store starts


@dataclass(frozen=True)
class Striping:
    """A cascade and its costs.

    Attributes:
        need: bytes of SRAM, including the tensors that stay there throughout.
        bytes: bytes loaded and stored, in whole lines, with startups converted to bytes.
        products: multiply-accumulates.
    """

    cascade: Cascade
    need: int
    bytes: int
    products: int


def list_stripings(
    placed: PlacedGraph, tasks: Sequence[Task], plan: Plan, sram_bytes: int
) -> list[Striping]:
    """All cascades that fit the SRAM and keep in it a tensor that the plan sends through DDR."""
    weigher = _Weigher(placed, tasks, plan, sram_bytes)
    found = []
    for first in range(len(tasks)):
        few = 0
        for last in range(first + 1, min(first + LONGEST, len(tasks))):
            stripings, few = weigher.stripings(first, last, few)
            if few == len(STRIPES):
                break  # A longer cascade would need even more memory.
            found += stripings
    return found


def choose_cascades(
    placed: PlacedGraph,
    tasks: Sequence[Task],
    plan: Plan,
    stripings: Sequence[Striping],
    sram_bytes: int,
    proportions: Proportions,
) -> tuple[Cascade, ...]:
    """The cascades with the least total cost, in order; no two share a task.

    Args:
        plan: a plan without cascades, which gives the cost of the tasks outside cascades.
    """
    weigher = _Weigher(placed, tasks, plan, sram_bytes)
    costs = [
        moved + work / proportions.products
        for moved, work in (weigher.alone(index) for index in range(len(tasks)))
    ]
    by_last: list[list[Striping]] = [[] for _ in tasks]
    for striping in stripings:
        if striping.need <= sram_bytes * proportions.share:
            by_last[striping.cascade.last].append(striping)
    # best[n]: the least cost of the first n tasks, and the cascade that ends there, if any.
    best: list[tuple[float, Cascade | None]] = [(0.0, None)]
    for last, ending in enumerate(by_last):
        options: list[tuple[float, Cascade | None]] = [(best[last][0] + costs[last], None)]
        for striping in ending:
            cost = striping.bytes + striping.products / proportions.products
            options.append((best[striping.cascade.first][0] + cost, striping.cascade))
        best.append(min(options, key=lambda option: option[0]))
    cascades: list[Cascade] = []
    end = len(tasks)
    while end:
        cascade = best[end][1]
        if cascade:
            cascades.append(cascade)
        end = cascade.first if cascade else end - 1
    return tuple(reversed(cascades))


class _Weigher:
    """The costs of tasks by themselves and in stripes, given a plan without stripes."""

    def __init__(
        self, placed: PlacedGraph, tasks: Sequence[Task], plan: Plan, sram_bytes: int
    ) -> None:
        self.placed = placed
        self.tasks = tasks
        self.plan = plan
        self.sram_bytes = sram_bytes
        self.resident = {name for name, space in plan.spaces.items() if space is Space.sram}
        # Bytes of residents while each task runs.
        self.held = [
            {
                block.name: block.nbytes
                for block in plan.blocks
                if block.name in self.resident and block.first <= index <= block.last
            }
            for index in range(len(tasks))
        ]

    def alone(self, index: int) -> tuple[int, int]:
        """Bytes and products of a task in the plan without cascades."""
        task, tiling = self.tasks[index], self.plan.tilings[index]
        work = products(self.placed, task)
        if tiling is None:
            return self._operands(task, self.placed.buffers, self.resident), work
        return tiling.line_bytes + tiling.transfers * STARTUP, work

    def stripings(self, first: int, last: int, few: int) -> tuple[list[Striping], int]:
        """The stripings of these tasks that fit the SRAM.

        Args:
            few: so many of the first entries of ``STRIPES`` are known to be too few stripes.

        Returns:
            The stripings, and the new ``few``.
        """
        group = Group(self.placed, self.tasks, first, last)
        if not group.is_possible() or self.resident.issuperset(group.inner):
            return [], few
        held = {name: size for at in range(first, last + 1) for name, size in self.held[at].items()}
        rows = min(task.out.shape[1] for task in group.tasks)
        result = []
        for stripes in STRIPES[few:]:
            if stripes > rows:
                break
            middle = make_stripe(group, stripes // 2, stripes)
            need = self._need(middle) + sum(held.values())
            if need > self.sram_bytes:
                few += 1
                continue
            buffers = {buffer.name: buffer for buffer in middle.buffers.values()}
            inside = self.resident | buffers.keys()
            buffers |= self.placed.buffers
            moved = sum(self._bytes(task, buffers, inside) for task in middle.tasks)
            work = sum(products(self.placed, task) for task in middle.tasks)
            cascade = Cascade(first, last, stripes)
            result.append(Striping(cascade, need, stripes * moved, stripes * work))
        return result, few

    def _need(self, stripe: Stripe) -> int:
        """Bytes that must be in SRAM together while a stripe runs."""
        own = {buffer.name: buffer.nbytes for buffer in stripe.buffers.values()}
        lives: dict[str, tuple[int, int]] = {}
        for index, task in enumerate(stripe.tasks):
            for operand in task.operands.values():
                if operand.place.buffer in own:
                    name = operand.place.buffer
                    lives[name] = (lives.get(name, (index, index))[0], index)
        needs = [
            sum(own[name] for name, (begin, end) in lives.items() if begin <= index <= end)
            + self._slots(task, own)
            for index, task in enumerate(stripe.tasks)
        ]
        return max(needs, default=0)

    def _slots(self, task: Task, own: dict[str, int]) -> int:
        """Bytes for weights and streamed operands: the least with which a stripe is still fast."""
        total = min(self._weights(task), 2 * self._block(task))
        for operand in task.operands.values():
            if operand.place.buffer not in own and not task.is_copy:
                batch, height, width, channels = operand.shape
                size = DataType[self.placed.graph.tensors[operand.tensor].dtype].size
                total += min(height, 4) * batch * width * channels * size
        return total

    def _weights(self, task: Task) -> int:
        return (
            packed_bytes(task.computed.attributes["weight"].shape, self._layout(task))
            if task.weighted
            else 0
        )

    def _block(self, task: Task) -> int:
        """Bytes of the weights of the smallest group of outputs that a tile can compute."""
        if not task.weighted:
            return 0
        whole, *kernel = task.computed.attributes["weight"].shape
        layout = self._layout(task)
        return packed_bytes((min(block_outputs(layout) or whole, whole), *kernel), layout)

    def _layout(self, task: Task) -> WeightLayout:
        return weight_layout(task.computed, self.placed.graph.tensors[task.a.tensor].dtype)

    def _bytes(self, task: Task, buffers: dict[str, Buffer], inside: set[str]) -> int:
        weights = self._weights(task)
        return weights + (STARTUP if weights else 0) + self._operands(task, buffers, inside)

    def _operands(self, task: Task, buffers: dict[str, Buffer], inside: set[str]) -> int:
        """Bytes in whole lines, with startups, if each operand outside SRAM is moved once."""
        return sum(
            lines_of(operand, buffers[operand.place.buffer]) + STARTUP
            for operand in task.operands.values()
            if operand.place.buffer not in inside
        )


def lines_of(operand: Operand, buffer: Buffer) -> int:
    """Bytes of the memory lines that an operand occupies in its buffer."""
    run, runs, whole = buffer.dtype.size, 1, True
    for axis in sorted(range(4), key=lambda axis: (buffer.strides[axis], -axis)):
        whole = whole and run == buffer.strides[axis]
        if whole:
            run *= operand.shape[axis]
        else:
            runs *= operand.shape[axis]
    return runs * (-(-run // LINE) * LINE)


def products(placed: PlacedGraph, task: Task) -> int:
    """Multiply-accumulates of a task, padding included."""
    if task.node is None:
        return 0
    operator = operator_of(task.node)
    each = operator.channels_read(task.node, task.shapes) * operator.taps(task.node)
    return int(math.prod(task.out.shape) * each)
