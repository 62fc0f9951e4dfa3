"""Starts and ends by hand: a load of 64 bytes takes 5 + 16 s, a store 7 + 16 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from horizon.hbm.records import Instruction
from horizon.march import Machine
from horizon.perf.cost import Costs
from horizon.perf.simulate import simulate
from tests.horizon.perf.examples import MACHINE, conv, load, store, with_unit


def times(
    instructions: Sequence[Instruction], machine: Machine = MACHINE, cores: int = 2
) -> list[tuple[float, float]]:
    costs = Costs(machine, cores)
    starts, ends = simulate(
        instructions, [costs.of(one) for one in instructions], machine.sequential
    )
    return list(zip(starts, ends, strict=True))


def compute(cycles: int, **waits: int) -> Instruction:
    """A convolution of so many cycles after its startup of 10."""
    # 1 x 1 on one pixel: a step for each 8 inputs, and 2 to empty the accumulators.
    return conv((1, 1, 1, 1), 8 * (cycles - 2), (1, 1), waits=waits)


def test_one_after_the_other_when_each_waits():
    steps = [load(64), compute(40, load=1), store(64, waits={"tensor": 1})]
    assert times(steps) == [(0, 21), (21, 71), (71, 94)]


def test_double_buffering_hides_transfers_behind_work():
    steps = [
        load(64),
        load(64),
        compute(40, load=1),
        store(64, waits={"tensor": 1}),
        load(64, waits={"tensor": 1}),  # the first slot again
        compute(40, load=2),
        store(64, waits={"tensor": 2}),
        compute(40, load=3),
        store(64, waits={"tensor": 3}),
    ]
    assert times(steps) == [
        (0, 21),
        (21, 42),
        (21, 71),
        (71, 94),  # on the bus from 78 to 94
        (71, 110),  # asks for the bus at 76, has it at 94
        (71, 121),
        (121, 144),
        (121, 171),
        (171, 194),
    ]
    # With one slot each load waits for the work on what was there before.
    single = [
        load(64),
        compute(40, load=1),
        store(64, waits={"tensor": 1}),
        load(64, waits={"tensor": 1}),
        compute(40, load=2),
        store(64, waits={"tensor": 2}),
        load(64, waits={"tensor": 2}),
        compute(40, load=3),
        store(64, waits={"tensor": 3}),
    ]
    # 21 + 50, then the store's bus until 94, the load's until 110, and so on.
    assert times(single)[-1] == (249, 272)


def test_waits_count_the_instructions_of_a_unit():
    steps = [load(64), load(32), load(64), compute(40, load=2), compute(4, load=3)]
    ends = [end for _, end in times(steps)]
    assert ends[:3] == [21, 34, 55]
    assert times(steps)[3] == (34, 84)
    assert times(steps)[4] == (84, 98)  # its load is long there, its unit is not free
    late = [load(64), load(32), load(64), compute(40, load=3)]
    assert times(late)[3] == (55, 105)


def test_a_unit_keeps_its_order():
    steps = [load(64), compute(40, load=1), compute(4)]
    assert times(steps)[2] == (71, 85)


def test_loads_and_stores_share_the_bus_in_the_order_of_the_list():
    # The store asks at 7 and waits until the load, which asked at 5, is through at 21.
    assert times([load(64), store(64)]) == [(0, 21), (0, 37)]
    # The other way round the load waits for the store, though it could have gone first.
    assert times([store(64), load(64)]) == [(0, 23), (0, 39)]
    # Computing does not need the bus.
    assert times([load(64), store(64), compute(40)])[2] == (0, 50)


def test_a_slow_unit_holds_the_bus_only_for_its_bursts():
    # 64 cycles for 64 bytes, 16 s of them on the bus: the store has it from 21 to 37.
    machine = with_unit(MACHINE, "load", bytes_per_cycle=1)
    assert times([load(64), store(64)], machine) == [(0, 69), (0, 37)]


def test_one_core_alone_has_all_of_the_bandwidth():
    assert times([load(64), store(64)], cores=2) == [(0, 21), (0, 37)]
    assert times([load(64), store(64)], cores=1) == [(0, 13), (0, 21)]


def test_units_of_a_sequential_machine_take_turns():
    steps = [load(64), compute(40, load=1), load(64), store(64), compute(4)]
    turns = times(steps, replace(MACHINE, sequential=True))
    assert turns == [(0, 21), (21, 71), (71, 92), (92, 115), (115, 129)]
    costs = Costs(MACHINE, 2)
    assert turns[-1][1] == sum(costs.of(one).busy for one in steps)
