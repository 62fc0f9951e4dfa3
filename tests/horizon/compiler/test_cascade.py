"""Cascades: which rows a stripe makes, programs with any cascades at all, and when they pay."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from horizon import hbm
from horizon.compiler import Compiled, compile_program
from horizon.compiler.candidates import make_candidates
from horizon.compiler.cascade import Cascade, Group, cascaded, make_stripe
from horizon.compiler.constants import collect_constants
from horizon.compiler.emit import emit_program, regions_of
from horizon.compiler.fit import possible_plans
from horizon.compiler.job import Job
from horizon.compiler.layout import PlacedGraph, place_tensors
from horizon.compiler.levels import level_of
from horizon.compiler.passes import run_passes
from horizon.compiler.schedule import list_operations
from horizon.compiler.tasks import Task, list_tasks
from horizon.errors import InputError
from horizon.hbir import Graph
from horizon.hbir.graph import verify
from horizon.hbir.node import Node, TensorInfo
from horizon.hbm.records import DataType
from horizon.march import Machine, load
from horizon.perf import estimate
from horizon.runtime import Model
from tests.horizon.compiler.checks import LEVELS, check, small
from tests.horizon.compiler.interpreter import from_file, to_file
from tests.horizon.compiler.random_graphs import random_graph, random_inputs

HEIGHT, WIDTH, CHANNELS = 48, 40, 16


def chain(strides: tuple[int, ...], height: int = HEIGHT, channels: int = CHANNELS) -> Graph:
    """3x3 convolutions one after the other, with padding 1."""
    rng = np.random.default_rng(0)
    shape = (1, height, WIDTH, channels)
    tensors = {"x": TensorInfo("x", shape, "int8", (1.0,))}
    nodes = []
    for number, stride in enumerate(strides):
        before, name = "x" if not nodes else f"t{number - 1}", f"t{number}"
        shape = (1, -(-shape[1] // stride), -(-shape[2] // stride), channels)
        tensors[name] = TensorInfo(name, shape, "int8", (1.0,))
        weight = rng.integers(-127, 128, (channels, 3, 3, channels)).astype(np.int8)
        attributes = {
            "weight": weight,
            "bias": rng.integers(-500, 500, channels).astype(np.int32),
            "multiplier": np.full(channels, 1 << 23),
            "shift": np.full(channels, 33),
            "stride": (stride, stride),
            "padding": (1, 1),
            "dilation": (1, 1),
            "groups": 1,
            "lo": 0,
            "hi": 127,
        }
        nodes.append(Node("conv2d", f"conv{number}", (before,), name, attributes))
    graph = Graph("chain", tensors, tuple(nodes), ("x",), (nodes[-1].output,), {})
    verify(graph)
    return graph


def placed_tasks(graph: Graph) -> tuple[PlacedGraph, list[Task]]:
    placed = place_tensors(graph, True, False, DataType.uint8)
    return placed, list_tasks(placed)


def test_rows_of_a_stripe_are_those_that_the_next_layer_needs() -> None:
    placed, tasks = placed_tasks(chain((1, 2, 1)))
    group = Group(placed, tasks, 0, 2)
    assert group.is_possible()
    assert group.leaving == [False, False, True]
    # 24 rows of output in three stripes; 3x3: a row more on both sides, twice as many at stride 2.
    assert group.rows(0, 3) == [(0, 18), (0, 9), (0, 8)]
    assert group.rows(1, 3) == [(13, 34), (7, 17), (8, 16)]
    assert group.rows(2, 3) == [(29, 48), (15, 24), (16, 24)]


def test_a_stripe_s_buffers_hold_its_rows() -> None:
    placed, tasks = placed_tasks(chain((1, 2, 1)))
    stripe = make_stripe(Group(placed, tasks, 0, 2), 1, 3)
    assert [task.computed.op for task in stripe.tasks] == ["conv2d"] * 3
    assert {name: buffer.shape for name, buffer in stripe.buffers.items()} == {
        "t0": (1, 21, WIDTH, CHANNELS),
        "t1": (1, 10, WIDTH // 2, CHANNELS),
    }
    assert [task.out.start[1] for task in stripe.tasks] == [13, 7, 8]
    assert stripe.tasks[0].a.start[1] == 12  # conv0 reads rows 12..34 of the image


def forced(graph: Graph, machine: Machine, seed: int) -> Compiled | None:
    """The program with random cascades, whether they pay or not; None if there can be none."""
    rng = np.random.default_rng(seed)
    level = level_of("O3")
    graph = run_passes(graph, True)
    placed, tasks = placed_tasks(graph)
    cascades, first = [], 0
    while first < len(tasks) - 1:
        last = min(len(tasks) - 1, first + int(rng.integers(1, 6)))
        if Group(placed, tasks, first, last).is_possible():
            cascades.append(Cascade(first, last, int(rng.integers(2, 6))))
            first = last
        first += 1
    if not cascades:
        return None
    striped, parts = cascaded(placed, tasks, cascades)
    constants = collect_constants(graph, tasks)
    job = Job(striped, parts, machine, replace(level, policies=level.striping))
    plans = list(possible_plans(job))
    if not plans:
        return None
    operations = list_operations(job, plans[-1], constants)
    program = emit_program(job, plans[-1], operations, constants)
    return Compiled(program, graph, regions_of(operations))


@pytest.mark.parametrize("part", range(4))
def test_any_cascade_gives_the_same_integers(part: int) -> None:
    """Halos of all operators, concats, slices, batches, outputs within a cascade."""
    count = 0
    for seed in range(part, 60, 4):
        graph = random_graph(seed, 12)
        compiled = forced(graph, small(16384), seed)
        if compiled is not None:
            check(compiled.graph, compiled, seed)
            count += 1
    assert count > 5


@cache
def deep() -> Graph:
    """Maps that are larger than the memory, with little in their way: cascades pay."""
    return chain((1, 1, 1, 1), height=96)


def test_cascades_are_taken_where_they_pay() -> None:
    machine = small(49152)
    compiled = compile_program(deep(), machine, "O3")
    check(deep(), compiled)
    placed, tasks = placed_tasks(deep())
    candidates = list(make_candidates(Job(placed, tasks, machine, level_of("O3"))))
    assert len(candidates[-1].job.tasks) > len(tasks)
    assert compiled.program.ddr_bytes == 0  # no map goes through DDR
    found = estimate(compiled.program, machine)
    without = estimate(compile_program(deep(), machine, "O2").program, machine)
    assert found.latency < 0.9 * without.latency
    assert found.loaded + found.stored < (without.loaded + without.stored) / 2


def executed(compiled: Compiled, seed: int) -> dict[str, np.ndarray]:
    """The executor's outputs as the graph's integers."""
    program = compiled.program
    inputs = to_file(program, random_inputs(compiled.graph, seed))
    return from_file(program, Model(hbm.to_bytes(program)).run(inputs))


def test_the_executor_s_integers_are_those_without_cascades() -> None:
    machine = small(49152)
    pairs = [tuple(compile_program(deep(), machine, opt) for opt in ("O1", "O3"))]
    assert [compiled.program.ddr_bytes > 0 for compiled in pairs[0]] == [True, False]
    for seed in range(20):
        graph = random_graph(seed, 12)
        compiled = forced(graph, small(16384), seed)
        if compiled is not None:
            pairs.append((compile_program(graph, small(16384), "O1"), compiled))
    assert len(pairs) > 5
    for seed, (plain, striped) in enumerate(pairs):
        wanted, found = executed(plain, seed), executed(striped, seed)
        assert list(found) == list(wanted)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_machine_that_copies_nothing_within_its_memory_has_no_cascades() -> None:
    machine = small(65536)
    units = tuple(unit for unit in machine.units if unit != "transform")
    simple = {name: unit for name, unit in machine.simple.items() if name != "transform"}
    machine = replace(machine, units=units, simple=simple)
    placed, tasks = placed_tasks(deep())
    for candidate in make_candidates(Job(placed, tasks, machine, level_of("O3"))):
        assert candidate.job.tasks is tasks
    check(deep(), compile_program(deep(), machine, "O3"))


def faster(machine: Machine, factors: tuple[float, ...]) -> Machine:
    clock, ddr, sram, step, load_rate = factors
    assert machine.tensor is not None
    conv = machine.tensor.conv
    conv = replace(conv, step_cycles=conv.step_cycles / step, outputs=conv.outputs * 2)
    rate = machine.simple["load"]
    rate = replace(rate, bytes_per_cycle=rate.bytes_per_cycle * load_rate)
    return replace(
        machine,
        clock_hz=machine.clock_hz * clock,
        ddr_bytes_per_second=machine.ddr_bytes_per_second * ddr,
        sram_bytes_per_cycle=machine.sram_bytes_per_cycle * sram,
        tensor=replace(machine.tensor, conv=conv),
        simple={**machine.simple, "load": rate},
    )


@pytest.mark.parametrize("opt", LEVELS)
def test_a_faster_machine_s_own_program_is_never_slower(opt: str) -> None:
    """Plans are chosen anew for each machine, and are still no slower, not by a bit."""
    rng = np.random.default_rng(0)
    base = replace(load("edge256"), sram_bytes=16384)
    graphs = [chain((1, 1, 2, 1), height=32), *(random_graph(seed, 12) for seed in range(8))]
    for graph in graphs:
        slow = base
        before = time_of(graph, slow, opt)
        for _ in range(2):
            slow = faster(slow, tuple(1 + rng.exponential(1, 5)))
            after = time_of(graph, slow, opt)
            assert after <= before
            before = after


def time_of(graph: Graph, machine: Machine, opt: str) -> float:
    try:
        return estimate(compile_program(graph, machine, opt).program, machine).latency
    except InputError:  # too little memory, whatever the speed
        return 0.0


@pytest.mark.parametrize("sram_bytes", [8192, 32768])
def test_no_level_is_slower_than_the_one_below(sram_bytes: int) -> None:
    machine = small(sram_bytes)
    for graph in (chain((1, 2, 1)), *(random_graph(seed, 12) for seed in range(10))):
        times = [time_of(graph, machine, opt) for opt in ("O3", "O2", "O1")]
        assert times == sorted(times)
