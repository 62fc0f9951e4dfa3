"""What must hold for every program on every machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from horizon import hbm
from horizon.compiler import compile_program
from horizon.errors import InputError
from horizon.hbm.records import Program
from horizon.march import ARRAYS, Array, Machine, SimpleUnit, TensorUnit, load
from horizon.perf import Estimate, estimate
from horizon.runtime import Model
from tests.horizon.compiler.checks import LEVELS
from tests.horizon.compiler.random_graphs import random_graph

UNITS = ("load", "store", "vector", "aux", "transform")
MEMORIES = (8192, 32768, 262144)


@cache
def compiled(seed: int, sram_bytes: int, opt: str) -> Program | None:
    """A random program for little memory; None if it does not fit. 0 bytes: for the host."""
    machine = load("host") if not sram_bytes else replace(load("edge256"), sram_bytes=sram_bytes)
    try:
        return compile_program(random_graph(5000 + seed, 12), machine, opt).program
    except InputError as error:
        if "too little memory" not in str(error):
            raise
        return None


startups = st.one_of(st.just(0.0), st.floats(0.1, 500))
numbers = st.floats(0.1, 1000)
sides = st.integers(1, 70)
arrays = st.builds(Array, sides, sides, sides, numbers, st.floats(0, 100))
simple = st.builds(SimpleUnit, startups, st.floats(0, 20), numbers)
alone = st.builds(Array, sides, st.just(1), sides, numbers, st.floats(0, 100))
tensors = st.builds(
    TensorUnit, startups, st.floats(1, 4), arrays, arrays, arrays, st.one_of(st.none(), alone)
)


@st.composite
def machines(draw: st.DrawFn, in_place: bool) -> Machine:
    """Of any speed."""
    return replace(
        load("edge256"),
        cores=draw(st.integers(1, 8)),
        workers=draw(st.integers(1, 8)),
        sequential=draw(st.booleans()),
        clock_hz=draw(st.floats(1e6, 1e10)),
        constants_in_place=in_place,
        sram_bytes=1 << 30,
        sram_bytes_per_cycle=draw(numbers),
        ddr_bytes_per_second=draw(st.floats(1e6, 1e12)),
        ddr_efficiency=draw(st.floats(0.01, 1)),
        burst_bytes=draw(st.sampled_from((1, 16, 32, 64, 256))),
        tensor=draw(tensors),
        simple={name: draw(simple) for name in UNITS},
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Program, Machine]:
    sram_bytes = draw(st.sampled_from((0, *MEMORIES)))
    program = compiled(draw(st.integers(0, 7)), sram_bytes, draw(st.sampled_from(LEVELS)))
    assume(program is not None)
    assert program is not None
    return program, draw(machines(not sram_bytes))


def change_unit(name: str, key: str, factor: float) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        unit = machine.simple[name]
        better = replace(unit, **{key: getattr(unit, key) * factor})
        return replace(machine, simple={**machine.simple, name: better})

    return change


def change_tensor(key: str, factor: float) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        value = max(getattr(machine.tensor, key) * factor, 1 if key == "int16_steps" else 0)
        return replace(machine, tensor=replace(machine.tensor, **{key: value}))

    return change


def change_array(name: str, key: str, factor: float) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        assert machine.tensor is not None
        array = machine.tensor.array(name)
        value = getattr(array, key) * factor
        if key != "drain_cycles":
            value = max(value, 0.01) if key == "step_cycles" else int(value)
        better = replace(machine.tensor, **{name: replace(array, **{key: value})})
        return replace(machine, tensor=better)

    return change


def change(key: str, factor: float, limit: float) -> Callable[[Machine], Machine]:
    def changed(machine: Machine) -> Machine:
        value = getattr(machine, key) * factor
        value = min(value, limit) if factor > 1 else max(value, limit)
        kind = type(getattr(machine, key))
        return replace(machine, **{key: kind(value)})

    return changed


@st.composite
def improvements(draw: st.DrawFn) -> Callable[[Machine], Machine]:
    """A machine that is better in one number."""
    more, less = draw(st.floats(1, 3)), draw(st.floats(0, 1))
    kind = draw(st.sampled_from(("machine", "unit", "tensor", "array")))
    if kind == "unit":
        name, key = draw(st.sampled_from(UNITS)), draw(st.sampled_from(UNIT_KEYS))
        return change_unit(name, key, more if key == "bytes_per_cycle" else less)
    if kind == "tensor":
        return change_tensor(draw(st.sampled_from(("startup_cycles", "int16_steps"))), less)
    if kind == "array":
        name, key = draw(st.sampled_from(ARRAYS)), draw(st.sampled_from(ARRAY_KEYS))
        return change_array(name, key, less if key.endswith("_cycles") else more)
    return draw(
        st.sampled_from(
            (
                change("clock_hz", more, 1e12),
                change("ddr_bytes_per_second", more, 1e15),
                change("ddr_efficiency", more, 1),
                change("sram_bytes_per_cycle", more, 1e9),
                change("workers", more, 64),
                change("burst_bytes", 0.5, 1),
                lambda machine: replace(machine, sequential=False),
            )
        )
    )


UNIT_KEYS = ("startup_cycles", "pixel_cycles", "bytes_per_cycle")
ARRAY_KEYS = ("pixels", "inputs", "outputs", "step_cycles", "drain_cycles")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(cases(), improvements())
def test_a_better_machine_is_never_slower(case, improve):
    """Not by a bit, in no instruction."""
    program, machine = case
    before, after = estimate(program, machine), estimate(program, improve(machine))
    assert after.latency <= before.latency
    for one, other in zip(after.instructions, before.instructions, strict=True):
        assert one.end <= other.end


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_fewer_cores_at_the_same_time_are_never_slower(case):
    program, machine = case
    latencies = [estimate(program, machine, n).latency for n in range(1, machine.cores + 1)]
    assert latencies == sorted(latencies)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cases())
def test_nothing_is_quicker_than_its_bound(case):
    found = estimate(*case)
    assert found.bound <= found.latency
    for layer in found.layers:
        assert layer.bound <= layer.end - layer.start, layer
        assert 0 <= layer.utilisation <= 1
    check_sums(found)
    check_order(found)


def check_sums(found: Estimate) -> None:
    """Layers divide the program's work among themselves."""
    for key in ("loaded", "stored", "macs"):
        assert sum(getattr(layer, key) for layer in found.layers) == getattr(found, key)
    for unit, seconds in found.busy.items():
        parts = [layer.busy.get(unit, 0) for layer in found.layers]
        assert sum(parts) == pytest.approx(seconds)
        assert seconds <= found.latency * (1 + 1e-12)
    assert max(layer.end for layer in found.layers) == found.latency
    assert min(layer.start for layer in found.layers) == 0


def check_order(found: Estimate) -> None:
    """Units do one thing at a time and wait for what they are told to wait for."""
    ends: dict[int, list[float]] = {unit: [0.0] for unit in range(6)}
    previous, rounding = 0.0, found.latency * 1e-12
    steps = zip(found.program.instructions, found.instructions, strict=True)
    for instruction, timed in steps:
        assert timed.start >= ends[instruction.unit][-1]
        assert all(timed.start >= ends[u][n] for u, n in enumerate(instruction.waits) if n)
        if found.machine.sequential:
            assert timed.start == previous
        assert timed.end + rounding >= timed.start + timed.busy
        previous = timed.end
        ends[instruction.unit].append(timed.end)


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("sram_bytes", [0, *MEMORIES])
@pytest.mark.parametrize("seed", range(6))
def test_bytes_are_those_that_the_executor_counts(seed, sram_bytes, opt):
    program = compiled(seed, sram_bytes, opt)
    if program is None:
        pytest.skip("does not fit")
    model = Model(hbm.to_bytes(program), threads=1)
    _, counters = model.run_counted({t.name: np.zeros(t.shape, t.dtype) for t in model.inputs})
    machine = load("host" if not sram_bytes else "edge256")
    found = estimate(program, machine)
    assert (found.loaded, found.stored) == (counters.load_bytes, counters.store_bytes)
    assert sum(one.ddr_bytes for one in found.instructions) == found.loaded + found.stored


def test_most_random_programs_fit():
    fit = [compiled(seed, size, "O1") is not None for seed in range(8) for size in MEMORIES]
    assert sum(fit) >= 0.7 * len(fit)
