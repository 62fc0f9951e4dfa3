"""A placed graph and the machine that it is compiled for, with facts that several steps need."""

from __future__ import annotations

from collections.abc import Sequence

from horizon.compiler.layout import PlacedGraph
from horizon.compiler.levels import Level
from horizon.compiler.measures import FewestTiles
from horizon.compiler.plan import Plan
from horizon.compiler.residency import lifetimes, streamed_operands
from horizon.compiler.tasks import Task
from horizon.compiler.tile_shapes import TileShapes
from horizon.compiler.tiling import OUTER_CHANNELS, SINGLE, Tiling, Tilings
from horizon.hbm.format import round_up
from horizon.hbm.records import DataType
from horizon.march import Machine


class Job:
    """Facts about a placed graph for the checker and the planner, each computed once.

    Attributes:
        placed, tasks: the graph and its tasks.
        machine, level: the target and the level of optimisation.
        lives: the first and last task of each buffer, the caller's arrays aside.
        sizes: bytes of these buffers, multiples of the machine's alignment.
        types: for each task, the types of its operands in SRAM.
        plans: the level's plans, once ``fit.plans_of`` has made them.
    """

    def __init__(
        self, placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
    ) -> None:
        self.placed = placed
        self.tasks = tasks
        self.machine = machine
        self.level = level
        self.buffers = placed.buffers
        self.lives = lifetimes(tasks, placed.buffers)
        self.sizes = {
            name: round_up(placed.buffers[name].nbytes, machine.alignment) for name in self.lives
        }
        if not level.reuse_memory:
            self.lives = dict.fromkeys(self.lives, (0, len(tasks) - 1))
        self.types = [
            {
                name: DataType[placed.graph.tensors[operand.tensor].dtype]
                for name, operand in task.operands.items()
            }
            for task in tasks
        ]
        self.plans: tuple[Plan, ...] | None = None
        self._shapes: dict[tuple[int, frozenset[str]], TileShapes] = {}

    def streamed(self, index: int, resident: frozenset[str]) -> frozenset[str]:
        """The operands of a task that are not in SRAM, given the tensors that stay there."""
        return streamed_operands(self.tasks[index], resident, self.machine.constants_in_place)

    def shapes(self, index: int, streamed: frozenset[str]) -> TileShapes:
        """All ways to cut a task."""
        key = index, streamed
        if key not in self._shapes:
            self._shapes[key] = self._tile_shapes(index, streamed, False)
        return self._shapes[key]

    def whole(self, index: int, streamed: frozenset[str]) -> Tiling:
        """The tiling of a task that cuts nothing."""
        shapes = self._tile_shapes(index, streamed, True)
        return Tilings([shapes.loops(OUTER_CHANNELS, SINGLE)], FewestTiles())[0]

    def smallest_tile(self, index: int) -> int:
        """Bytes of SRAM that a task needs at least, if none of its operands is in SRAM already."""
        shapes = self.shapes(index, self.streamed(index, frozenset()))
        return int(shapes.loops(OUTER_CHANNELS, SINGLE).need.min())

    def _tile_shapes(self, index: int, streamed: frozenset[str], whole: bool) -> TileShapes:
        task, types = self.tasks[index], self.types[index]
        return TileShapes(task, types, self.buffers, streamed, self.machine.alignment, whole)
