"""Residents, and that plans state the bytes that their programs move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from horizon.compiler.constants import collect_constants
from horizon.compiler.fit import plans_of
from horizon.compiler.job import Job
from horizon.compiler.layout import Place, place_tensors
from horizon.compiler.levels import LEVELS
from horizon.compiler.passes import run_passes
from horizon.compiler.plan import overlap
from horizon.compiler.residency import choose_residents, lifetimes
from horizon.compiler.schedule import list_operations
from horizon.compiler.tasks import list_tasks
from horizon.errors import InputError
from horizon.hbm.records import DataType, Opcode, Space
from horizon.march import load
from tests.horizon.compiler.checks import small
from tests.horizon.compiler.random_graphs import random_graph
from tests.horizon.compiler.test_layout import dense_block
from tests.horizon.compiler.test_tiling import operand


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("sram_bytes", [8192, 262144])
def test_a_plan_states_its_traffic(sram_bytes: int, opt: str) -> None:
    level = LEVELS[opt]
    planned = 0
    for seed in range(6):
        graph = run_passes(random_graph(seed, 12), level.passes)
        placed = place_tensors(graph, level.in_place, False, DataType.uint8)
        tasks = list_tasks(placed)
        try:
            job = Job(placed, tasks, small(sram_bytes), level)
            plans = plans_of(job)
        except InputError:
            continue
        planned += 1
        for plan in plans:
            operations = list_operations(job, plan, collect_constants(graph, tasks))
            views = [
                operation.operands["out"].view
                for operation in operations
                if operation.opcode in (Opcode.load, Opcode.store)
            ]
            assert plan.traffic == sum(int(np.prod(v.shape)) * v.dtype.size for v in views)
    assert planned >= 3


def test_lifetimes_are_those_of_whole_buffers() -> None:
    placed = place_tensors(dense_block(), True, True, DataType.int8)
    tasks = list_tasks(placed)
    assert [task.layer for task in tasks] == ["x", "x2", "a", "b", "b2", "c", "y"]
    assert lifetimes(tasks, placed.buffers) == {"x": (0, 2), "cbax": (1, 6), "b": (3, 4)}


def test_residents_are_those_that_save_bytes_in_all() -> None:
    sizes = {"good": 60, "costly": 50, "large": 200}
    lives = {"good": (0, 1), "costly": (1, 2), "large": (0, 3)}

    def traffic(index: int, resident: frozenset[str], free: int) -> int | None:
        saved = 40 * ("good" in resident) + 10 * ("costly" in resident)
        return 100 - saved + (20 if free < 60 else 0)

    found = choose_residents(sizes, lives, ["large", "costly", "good"], 100, traffic)
    assert found == {"good"}
    assert choose_residents(sizes, lives, ["good"], 100, lambda *_: None) == frozenset()


def test_the_host_keeps_everything_and_cuts_nothing() -> None:
    graph = run_passes(random_graph(5, 14), True)
    placed = place_tensors(graph, True, True, DataType.uint8)
    tasks = list_tasks(placed)
    (plan,) = plans_of(Job(placed, tasks, load("host"), LEVELS["O3"]))
    assert plan.ddr_bytes == 0
    assert {plan.spaces[name] for name in plan.sram if name in plan.spaces} == {Space.sram}
    for task, tiling in zip(tasks, plan.tilings, strict=True):
        assert tiling is None or tiling.shape == task.out.shape


def test_overlap_of_parts_of_a_buffer() -> None:

    whole = operand("t", 2, 3, 4, 8)
    right = replace(operand("u", 2, 3, 4, 4), place=Place("t", 0, 4))
    left = replace(operand("v", 2, 3, 4, 4), place=Place("t", 0, 0))
    second = replace(operand("w", 1, 3, 4, 4), place=Place("t", 1, 4))
    assert overlap(whole, right)
    assert overlap(right, second)
    assert not overlap(left, right)
    assert not overlap(left, second)
    assert not overlap(whole, operand("other", 2, 3, 4, 8))
