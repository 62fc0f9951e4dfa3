"""A plan that fits the machine: attempts, in which what stands out gives way.

First goes the loading ahead of a task, then the size of its tiles, then a tensor that should have
stayed in SRAM. Each attempt gives something up for good, so that there is a last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from horizon.compiler.allocate import Block, smallest_arena
from horizon.compiler.layout import PlacedGraph
from horizon.compiler.levels import Level
from horizon.compiler.plan import Plan, is_one_copy, prefetchable, slots, spaces_of
from horizon.compiler.residency import (
    by_benefit,
    choose_residents,
    lifetimes,
    operand_bytes,
    streamed_operands,
)
from horizon.compiler.tasks import Task
from horizon.compiler.tiling import Choices, Tiling, list_tilings, whole_tiling
from horizon.errors import InputError
from horizon.hbm.format import round_up
from horizon.hbm.records import DataType
from horizon.march import Machine

SHRINK = 0.9


def make_plan(placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level) -> Plan:
    """Decide everything but the order of instructions.

    A machine that reads constants in place has everything in SRAM and uncut layers.

    Raises:
        InputError: that, or the smallest tile of a layer, needs more SRAM than there is.
    """
    if not machine.constants_in_place:
        # A greedy choice of residents can make the better tilings of single layers worse in all.
        levels = [level, replace(level, search=False)] if level.search else [level]
        plans = [_Fitting(placed, tasks, machine, one).cut() for one in levels]
        return min(plans, key=lambda plan: plan.traffic)
    plan = _Fitting(placed, tasks, machine, level).uncut()
    if plan.sram_bytes > machine.sram_bytes:
        raise InputError(
            f"program {placed.graph.name}: its tensors need {plan.sram_bytes} bytes at a time; "
            f"machine {machine.name} has {machine.sram_bytes}: too little memory; "
            "choose a higher level of optimisation or smaller images"
        )
    return plan


class _Fitting:
    """The facts of one program, what has been given up, and the tilings found before."""

    def __init__(
        self, placed: PlacedGraph, tasks: Sequence[Task], machine: Machine, level: Level
    ) -> None:
        self.buffers = placed.buffers
        self.tasks = tasks
        self.machine = machine
        self.level = level
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
        self.resident: frozenset[str] = frozenset()
        self.budgets = [machine.sram_bytes] * len(tasks)
        self.hasty = [level.double_buffer] * len(tasks)
        self.known: dict[tuple[int, frozenset[str]], list[Tiling]] = {}

    def uncut(self) -> Plan:
        """Everything in SRAM, one tile for each task."""
        resident = frozenset(self.lives)
        spaces = spaces_of(self.buffers, resident)
        tilings = [
            None
            if is_one_copy(task, spaces)
            else whole_tiling(task, types, self._streamed(task, resident), self.machine.alignment)
            for task, types in zip(self.tasks, self.types, strict=True)
        ]
        nothing: list[frozenset[str]] = [frozenset()] * len(self.tasks)
        return self._assemble(resident, tilings, nothing)

    def cut(self) -> Plan:
        """Tiles, and residents where the level has them."""
        if self.level.resident:
            order = by_benefit(self.tasks, self.buffers, self.lives)
            capacity = self.machine.sram_bytes
            self.resident = choose_residents(self.sizes, self.lives, order, capacity, self._traffic)
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
        sram = smallest_arena(blocks, self.level.orders)
        traffic = sum(
            self._bytes_moved(index, resident, tiling) for index, tiling in enumerate(tilings)
        )
        return Plan(
            spaces,
            tilings,
            prefetched,
            blocks,
            *sram,
            *smallest_arena(ddr, self.level.orders),
            traffic,
        )

    def _streamed(self, task: Task, resident: frozenset[str]) -> frozenset[str]:
        in_place = self.machine.constants_in_place
        return streamed_operands(task, resident, in_place)

    def _tiling(self, index: int, resident: frozenset[str], budget: int) -> Tiling | None:
        """The best tiling whose slots take at most ``budget`` bytes, None if there is none."""
        return next(
            (one for one in self._tilings(index, resident) if one.slot_bytes <= budget), None
        )

    def _tilings(self, index: int, resident: frozenset[str]) -> list[Tiling]:
        task = self.tasks[index]
        streamed = self._streamed(task, resident)
        key = index, streamed
        if key not in self.known:
            choices = Choices(self.level.double_buffer, self.level.search, self.machine.alignment)
            self.known[key] = list_tilings(task, self.types[index], streamed, choices)
        return self.known[key]

    def _traffic(self, index: int, resident: frozenset[str], budget: int) -> int | None:
        """Bytes that a task loads and stores; None if its smallest tile is over the budget."""
        task = self.tasks[index]
        whole = is_one_copy(task, spaces_of(self.buffers, resident))
        tiling = None if whole else self._tiling(index, resident, budget)
        if not whole and tiling is None:
            return None
        return self._bytes_moved(index, resident, tiling)

    def _bytes_moved(self, index: int, resident: frozenset[str], tiling: Tiling | None) -> int:
        task = self.tasks[index]
        if task.op == "copy":
            sides = len(self._streamed(task, resident))
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
            need = self._tilings(index, self.resident)[-1].slot_bytes
            raise InputError(
                f"layer {task.layer}: its smallest tile needs {need} bytes of SRAM; machine "
                f"{self.machine.name} has {self.machine.sram_bytes}: too little memory; "
                "choose a machine with more SRAM or smaller images"
            )
        self.budgets[index] = self.machine.sram_bytes
