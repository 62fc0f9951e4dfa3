"""Make a plan that fits the machine's SRAM, by trial.

An attempt places all blocks (resident tensors and slots). If blocks end beyond the SRAM, the next
attempt has less to place: a resident tensor goes back to DDR, or a task no longer loads ahead, or
its tiles get smaller. Nothing that was given up comes back, so the attempts end.
"""

from __future__ import annotations

from collections.abc import Iterator

from horizon.compiler.allocate import Block, smallest_arena
from horizon.compiler.job import Job
from horizon.compiler.levels import Policy
from horizon.compiler.plan import Plan, is_one_copy, prefetchable, slots, spaces_of
from horizon.compiler.residency import (
    by_benefit,
    choose_residents,
    operand_bytes,
)
from horizon.compiler.tiling import (
    DOUBLE,
    SINGLE,
    SINGLE_WEIGHT,
    Tiling,
    Tilings,
)
from horizon.errors import CapacityError

SHRINK = 0.9


def plans_of(job: Job) -> tuple[Plan, ...]:
    """The different plans of the level's policies. Only the order of instructions is left open.

    Addresses, tiles and residents depend on the machine's memory and alignment, and on nothing else
    of the machine. A machine that reads constants in place has one plan: all tensors are in SRAM,
    and no layer is cut.

    Raises:
        CapacityError: all tensors together, or the smallest tile of a layer, need more SRAM than
            the machine has.
    """
    if job.plans is None:
        job.plans = tuple(_plans(job))
    return job.plans


def possible_plans(job: Job) -> Iterator[Plan]:
    """The plans of :func:`plans_of`, up to the first that does not fit the machine."""
    try:
        yield from _plans(job)
    except CapacityError:
        return


def _plans(job: Job) -> Iterator[Plan]:
    machine, level = job.machine, job.level
    if not machine.cuts_layers:
        plan = _Fitting(job, level.policies[-1]).uncut()
        if plan.sram_bytes > machine.sram_bytes:
            raise CapacityError(
                f"program {job.placed.graph.name}: its tensors need {plan.sram_bytes} bytes at a "
                f"time; machine {machine.name} has {machine.sram_bytes}: too little memory; "
                "choose a higher level of optimisation or smaller images"
            )
        yield plan
        return
    known: list[Plan] = []
    for policy in level.policies:
        plan = _Fitting(job, policy).cut()
        if plan not in known:
            known.append(plan)
            yield plan


class _Fitting:
    """The search for one plan: what earlier attempts gave up, and the tilings that they found."""

    def __init__(self, job: Job, policy: Policy) -> None:
        self.job = job
        self.policy = policy
        self.buffers, self.tasks, self.machine = job.buffers, job.tasks, job.machine
        self.lives, self.sizes = job.lives, job.sizes
        self.resident: frozenset[str] = frozenset()
        self.budgets = [self.machine.sram_bytes] * len(self.tasks)
        self.prefetches = [policy.double_buffer] * len(self.tasks)
        self.known: dict[tuple[int, frozenset[str]], Tilings] = {}

    def uncut(self) -> Plan:
        """Everything in SRAM, one tile for each task."""
        resident = frozenset(self.lives)
        spaces = spaces_of(self.buffers, resident)
        tilings = [
            None
            if is_one_copy(task, spaces)
            else self.job.whole(index, self.job.streamed(index, resident))
            for index, task in enumerate(self.tasks)
        ]
        nothing: list[frozenset[str]] = [frozenset()] * len(self.tasks)
        return self._assemble(resident, tilings, nothing)

    def cut(self) -> Plan:
        """A plan with tiles, and with resident tensors if the policy has them."""
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
        """The tiling of each task.

        None if a task had no room for any tiling; it has then been given more room, for the caller
        to try again.
        """
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
        """The best tiling whose slots take at most ``budget`` bytes; None if there is none."""
        return self._tilings(index, resident).within(budget)

    def _tilings(self, index: int, resident: frozenset[str]) -> Tilings:
        key = index, self.job.streamed(index, resident)
        if key not in self.known:
            shapes, policy = self.job.shapes(*key), self.policy
            ways = (DOUBLE, SINGLE_WEIGHT, SINGLE) if policy.double_buffer else (SINGLE,)
            spaces = [shapes.loops(order, doubled) for order in policy.loops for doubled in ways]
            self.known[key] = Tilings(spaces, policy.measure)
        return self.known[key]

    def _cost(self, index: int, resident: frozenset[str], budget: int) -> float | None:
        """The cost of a task by the policy's measure; None if no tiling is within the budget."""
        task = self.tasks[index]
        if is_one_copy(task, spaces_of(self.buffers, resident)):
            moved = self._bytes_moved(index, resident, None)
            return self.policy.measure.task_cost(moved, moved)
        tiling = self._tiling(index, resident, budget)
        return None if tiling is None else tiling.cost

    def _bytes_moved(self, index: int, resident: frozenset[str], tiling: Tiling | None) -> int:
        task = self.tasks[index]
        if task.is_copy:
            sides = len(self.job.streamed(index, resident))
            # A copy without tiles is one instruction, which moves its bytes once.
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
        """For each task, the operands to load while the task before it runs, if SRAM has room."""
        result: list[frozenset[str]] = []
        for index, tiling in enumerate(tilings):
            able = prefetchable(self.tasks, index, tiling) if self.prefetches[index] else {}
            if able:
                before = tilings[index - 1]
                free = self.machine.sram_bytes - self._resident_bytes(index - 1)
                free -= before.slot_bytes if before else 0
                if sum(able.values()) > free:
                    able = {}
            result.append(frozenset(able))
        return result

    def _give_up(self, plan: Plan) -> None:
        """Give something up for each block that ends beyond the SRAM.

        A resident goes back to DDR. The task of a slot stops loading ahead, or gets smaller tiles.
        """
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
        """Load nothing ahead for this task, and nothing for the next task while this one runs."""
        self.prefetches[index] = False
        if index + 1 < len(self.tasks):
            self.prefetches[index + 1] = False

    def _make_room(self, index: int) -> None:
        """Make room for a task without a tiling: evict the largest resident, lift its budget."""
        residents = self._residents_at(index)
        if residents:
            self.resident -= {max(residents, key=lambda name: (self.sizes[name], name))}
        elif self.budgets[index] < self.machine.sram_bytes:
            # No resident is left, so the task may use the whole SRAM.
            self._load_late(index)
        else:
            task = self.tasks[index]
            need = self._tilings(index, self.resident).smallest
            raise CapacityError(
                f"layer {task.layer}: its smallest tile needs {need} bytes of SRAM; machine "
                f"{self.machine.name} has {self.machine.sram_bytes}: too little memory; "
                "choose a machine with more SRAM or smaller images"
            )
        self.budgets[index] = self.machine.sram_bytes
