"""A plan that fits the machine: attempts, in which what stands out gives way.

First goes the loading ahead of a task, then the size of its tiles, then a tensor that should have
stayed in SRAM. Each attempt gives something up for good, so that there is a last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from horizon.compiler.allocate import Block, smallest_arena
from horizon.compiler.layout import PlacedGraph
from horizon.compiler.levels import Level, Policy
from horizon.compiler.measures import FewestTiles
from horizon.compiler.plan import Plan, is_one_copy, prefetchable, slots, spaces_of
from horizon.compiler.residency import (
    by_benefit,
    choose_residents,
    lifetimes,
    operand_bytes,
    streamed_operands,
)
from horizon.compiler.tasks import Task
from horizon.compiler.tile_shapes import TileShapes
from horizon.compiler.tiling import (
    DOUBLE,
    OUTER_CHANNELS,
    SINGLE,
    SINGLE_WEIGHT,
    Tiling,
    Tilings,
)
from horizon.errors import InputError
from horizon.hbm.format import round_up
from horizon.hbm.records import DataType
from horizon.march import Machine

SHRINK = 0.9


def make_plans(
    placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
) -> Iterator[Plan]:
    """The plans of a level's policies, each once; everything but the order of instructions.

    Their addresses, tiles and residents depend on the machine's memory and alignment, and on
    nothing else of it. A machine that reads constants in place has one plan: everything in SRAM and
    uncut layers.

    Raises:
        InputError: that, or the smallest tile of a layer, needs more SRAM than there is.
    """
    facts = _Facts(placed, tasks, machine, level.reuse_memory)
    if machine.constants_in_place:
        plan = _Fitting(facts, level.policies[-1]).uncut()
        if plan.sram_bytes > machine.sram_bytes:
            raise InputError(
                f"program {placed.graph.name}: its tensors need {plan.sram_bytes} bytes at a time; "
                f"machine {machine.name} has {machine.sram_bytes}: too little memory; "
                "choose a higher level of optimisation or smaller images"
            )
        yield plan
        return
    known: list[Plan] = []
    for policy in level.policies:
        plan = _Fitting(facts, policy).cut()
        if plan not in known:
            known.append(plan)
            yield plan


class _Facts:
    """What the plans of a program have in common, and the tile shapes found before."""

    def __init__(
        self, placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, reuse_memory: bool
    ) -> None:
        self.buffers = placed.buffers
        self.tasks = tasks
        self.machine = machine
        self.lives = lifetimes(tasks, placed.buffers)
        self.sizes = {
            name: round_up(placed.buffers[name].nbytes, machine.alignment) for name in self.lives
        }
        if not reuse_memory:
            self.lives = dict.fromkeys(self.lives, (0, len(tasks) - 1))
        self.types = [
            {
                name: DataType[placed.graph.tensors[operand.tensor].dtype]
                for name, operand in task.operands.items()
            }
            for task in tasks
        ]
        self._shapes: dict[tuple[int, frozenset[str]], TileShapes] = {}

    def streamed(self, index: int, resident: frozenset[str]) -> frozenset[str]:
        in_place = self.machine.constants_in_place
        return streamed_operands(self.tasks[index], resident, in_place)

    def shapes(self, index: int, streamed: frozenset[str]) -> TileShapes:
        key = index, streamed
        if key not in self._shapes:
            self._shapes[key] = self._tile_shapes(index, streamed, False)
        return self._shapes[key]

    def whole(self, index: int, streamed: frozenset[str]) -> Tiling:
        """The tiling that cuts nothing."""
        shapes = self._tile_shapes(index, streamed, True)
        return Tilings([shapes.loops(OUTER_CHANNELS, SINGLE)], FewestTiles())[0]

    def _tile_shapes(self, index: int, streamed: frozenset[str], whole: bool) -> TileShapes:
        task, types = self.tasks[index], self.types[index]
        return TileShapes(task, types, self.buffers, streamed, self.machine.alignment, whole)


class _Fitting:
    """The way to one plan: what has been given up, and the tilings found before."""

    def __init__(self, facts: _Facts, policy: Policy) -> None:
        self.facts = facts
        self.policy = policy
        self.buffers, self.tasks, self.machine = facts.buffers, facts.tasks, facts.machine
        self.lives, self.sizes = facts.lives, facts.sizes
        self.resident: frozenset[str] = frozenset()
        self.budgets = [self.machine.sram_bytes] * len(self.tasks)
        self.hasty = [policy.double_buffer] * len(self.tasks)
        self.known: dict[tuple[int, frozenset[str]], Tilings] = {}

    def uncut(self) -> Plan:
        """Everything in SRAM, one tile for each task."""
        resident = frozenset(self.lives)
        spaces = spaces_of(self.buffers, resident)
        tilings = [
            None
            if is_one_copy(task, spaces)
            else self.facts.whole(index, self.facts.streamed(index, resident))
            for index, task in enumerate(self.tasks)
        ]
        nothing: list[frozenset[str]] = [frozenset()] * len(self.tasks)
        return self._assemble(resident, tilings, nothing)

    def cut(self) -> Plan:
        """Tiles, and residents where the level has them."""
        if self.policy.resident:
            order = by_benefit(self.tasks, self.buffers, self.lives)
            capacity = self.machine.sram_bytes
            self.resident = choose_residents(self.sizes, self.lives, order, capacity, self._cost)
        while True:
            tilings = self._cut_tasks()
            if tilings is None:
                continue
            plan = self._assemble(self.resident, tilings, self._prefetched(tilings))
            if plan.sram_bytes <= self.machine.sram_bytes:
                return plan
            self._give_up(plan)

    def _cut_tasks(self) -> list[Tiling | None] | None:
        """The tiling of each task; None if there was no room for one, which has got more."""
        spaces = spaces_of(self.buffers, self.resident)
        tilings: list[Tiling | None] = []
        for index, task in enumerate(self.tasks):
            if is_one_copy(task, spaces):
                tilings.append(None)
                continue
            tiling = self._tiling(index, self.resident, self._budget(index))
            if tiling is None:
                self._make_room(index)
                return None
            tilings.append(tiling)
        return tilings

    def _assemble(
        self,
        resident: frozenset[str],
        tilings: list[Tiling | None],
        prefetched: list[frozenset[str]],
    ) -> Plan:
        """The plan of these decisions, with addresses."""
        blocks = slots(tilings, prefetched)
        ddr: list[Block] = []
        for name, (first, last) in self.lives.items():
            block = Block(name, self.sizes[name], first, last)
            (blocks if name in resident else ddr).append(block)
        spaces = spaces_of(self.buffers, resident)
        sram = smallest_arena(blocks, self.policy.arenas)
        traffic = sum(
            self._bytes_moved(index, resident, tiling) for index, tiling in enumerate(tilings)
        )
        return Plan(
            spaces,
            tilings,
            prefetched,
            blocks,
            *sram,
            *smallest_arena(ddr, self.policy.arenas),
            traffic,
        )

    def _tiling(self, index: int, resident: frozenset[str], budget: int) -> Tiling | None:
        """The best tiling whose slots take at most ``budget`` bytes, None if there is none."""
        return self._tilings(index, resident).within(budget)

    def _tilings(self, index: int, resident: frozenset[str]) -> Tilings:
        key = index, self.facts.streamed(index, resident)
        if key not in self.known:
            shapes, policy = self.facts.shapes(*key), self.policy
            ways = (DOUBLE, SINGLE_WEIGHT, SINGLE) if policy.double_buffer else (SINGLE,)
            spaces = [shapes.loops(order, doubled) for order in policy.loops for doubled in ways]
            self.known[key] = Tilings(spaces, policy.measure)
        return self.known[key]

    def _cost(self, index: int, resident: frozenset[str], budget: int) -> float | None:
        """What a task costs by the measure; None if its smallest tile is over the budget."""
        task = self.tasks[index]
        if is_one_copy(task, spaces_of(self.buffers, resident)):
            moved = self._bytes_moved(index, resident, None)
            return self.policy.measure.task_cost(moved, moved)
        tiling = self._tiling(index, resident, budget)
        return None if tiling is None else tiling.cost

    def _bytes_moved(self, index: int, resident: frozenset[str], tiling: Tiling | None) -> int:
        task = self.tasks[index]
        if task.op == "copy":
            sides = len(self.facts.streamed(index, resident))
            # One instruction between two memories that are no SRAM moves its bytes once.
            sides = min(sides, 1) if tiling is None else sides
            return sides * operand_bytes(task.a, self.buffers)
        assert tiling is not None
        return tiling.traffic

    def _resident_bytes(self, index: int) -> int:
        return sum(self.sizes[name] for name in self._residents_at(index))

    def _residents_at(self, index: int) -> list[str]:
        return [
            name
            for name in sorted(self.resident)
            if self.lives[name][0] <= index <= self.lives[name][1]
        ]

    def _budget(self, index: int) -> int:
        return min(self.budgets[index], self.machine.sram_bytes - self._resident_bytes(index))

    def _prefetched(self, tilings: list[Tiling | None]) -> list[frozenset[str]]:
        """For each task the operands that the SRAM has room for while the task before runs."""
        result: list[frozenset[str]] = []
        for index, tiling in enumerate(tilings):
            able = prefetchable(self.tasks, index, tiling) if self.hasty[index] else {}
            if able:
                before = tilings[index - 1]
                free = self.machine.sram_bytes - self._resident_bytes(index - 1)
                free -= before.slot_bytes if before else 0
                if sum(able.values()) > free:
                    able = {}
            result.append(frozenset(able))
        return result

    def _give_up(self, plan: Plan) -> None:
        """Something of each task and tensor that stands out of the SRAM."""
        for block in plan.blocks:
            if plan.sram[block.name] + block.nbytes <= self.machine.sram_bytes:
                continue
            if block.name in self.resident:
                self.resident -= {block.name}
                continue
            index = block.last
            if any(plan.prefetched[index : index + 2]):
                self._load_late(index)
                continue
            tiling = plan.tilings[index]
            assert tiling is not None
            self.budgets[index] = min(self.budgets[index], int(tiling.slot_bytes * SHRINK))

    def _load_late(self, index: int) -> None:
        """Nothing is loaded ahead for a task, and nothing for the next one while it runs."""
        self.hasty[index] = False
        if index + 1 < len(self.tasks):
            self.hasty[index + 1] = False

    def _make_room(self, index: int) -> None:
        """One resident less while a task runs that fits no more; it gets all that is free again."""
        residents = self._residents_at(index)
        if residents:
            self.resident -= {max(residents, key=lambda name: (self.sizes[name], name))}
        elif self.budgets[index] < self.machine.sram_bytes:
            # Alone it may take everything.
            self._load_late(index)
        else:
            task = self.tasks[index]
            need = self._tilings(index, self.resident).smallest
            raise InputError(
                f"layer {task.layer}: its smallest tile needs {need} bytes of SRAM; machine "
                f"{self.machine.name} has {self.machine.sram_bytes}: too little memory; "
                "choose a machine with more SRAM or smaller images"
            )
        self.budgets[index] = self.machine.sram_bytes
