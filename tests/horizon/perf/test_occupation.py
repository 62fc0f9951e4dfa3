"""Live bytes: equal to a count of every single byte, and never more than there is."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from horizon.compiler import compile_program
from horizon.hbir import resized
from horizon.hbm.records import DataType, Instruction, Opcode, Space, View
from horizon.perf import Estimate, estimate
from horizon.perf import occupation as module
from horizon.perf.occupation import occupation
from tests.horizon.compiler.checks import small
from tests.horizon.hbir.programs import pyramid
from tests.horizon.perf.examples import MACHINE, instruction, load, program, store
from tests.horizon.perf.reports import on_host, random_estimate


def byte_offsets(view: View) -> np.ndarray:
    places = np.array([view.offset])
    for side, stride in zip(view.shape, view.strides, strict=True):
        places = (places[:, None] + np.arange(side) * stride).ravel()
    return np.unique((places[:, None] + np.arange(view.dtype.size)).ravel())


def lifetimes(found: Estimate, space: Space) -> np.ndarray:
    """(start, end) of every value of every byte, (n, 2), by the definition."""
    size = {Space.sram: found.program.sram_bytes, Space.ddr: found.program.ddr_bytes}[space]
    written = np.full(size, np.nan)
    used = np.full(size, np.nan)
    result = []
    for one, timed in zip(found.program.instructions, found.instructions, strict=True):
        for view in (one.a, one.b, one.weight):
            if view is not None and view.space is space:
                places = byte_offsets(view)
                used[places] = np.maximum(used[places], timed.end)
        if one.out.space is space:
            places = byte_offsets(one.out)
            result.append(np.stack([written[places], used[places]], 1))
            written[places], used[places] = timed.start, timed.end
    result.append(np.stack([written, used], 1))
    everything = np.concatenate(result)
    return everything[~np.isnan(everything[:, 0])]


def check_exactly(found: Estimate, space: Space) -> None:
    spans, live = lifetimes(found, space), occupation(found)[space.name]
    times = np.unique(spans)
    for at in np.concatenate([times, times[:-1] + np.diff(times) / 2]):
        expected = ((spans[:, 0] <= at) & (at < spans[:, 1])).sum()
        place = np.searchsorted(live.times, at, side="right") - 1
        assert (live.live[place] if place >= 0 else 0) == expected, at
    assert live.live[-1] == 0
    assert live.peak <= live.size
    integral = (spans[:, 1] - spans[:, 0]).sum() / found.latency
    assert live.mean(found.latency) == pytest.approx(integral)


@pytest.mark.parametrize("opt", ["O0", "O3"])
@pytest.mark.parametrize("seed", range(2000, 2006))
def test_every_byte_of_random_programs(monkeypatch, seed, opt):
    monkeypatch.setattr(module, "PAGES", 1 << 20)
    found = random_estimate(seed, opt=opt)
    assert occupation(found)["sram"].page == 1
    check_exactly(found, Space.sram)
    if found.program.ddr_bytes:
        check_exactly(found, Space.ddr)


def test_every_byte_on_the_host(monkeypatch):
    monkeypatch.setattr(module, "PAGES", 1 << 20)
    check_exactly(on_host(), Space.sram)


def test_pages_are_close_to_bytes(monkeypatch):
    """One byte of 64 stands for all."""
    machine = small(65536)
    graph = resized(pyramid(), 1, 96, 128)
    found = estimate(compile_program(graph, machine, "O2").program, machine)
    monkeypatch.setattr(module, "PAGES", 1 << 20)
    exact = occupation(found)["sram"]
    monkeypatch.setattr(module, "PAGES", 1024)
    coarse = occupation(found)["sram"]
    assert coarse.page == 64
    assert coarse.peak <= coarse.size
    assert coarse.mean(found.latency) == pytest.approx(exact.mean(found.latency), rel=0.02)


def test_by_hand():
    """Loaded, stored, loaded again: two values of 32 bytes, then half of them anew."""
    steps = [load(32), store(32, waits={"load": 1}), load(16, waits={"store": 1})]
    found = estimate(program(steps, sram_bytes=48), MACHINE)
    first, second, third = found.instructions
    live = occupation(found)["sram"]
    assert live.times.tolist() == [first.start, second.end, third.end]
    assert live.live.tolist() == [32, 16, 0]
    assert live.peak == 32
    assert occupation(found)["ddr"].peak == 0  # the program has none


def test_the_reader_that_ends_last_counts():
    """The long reader stands first in the list."""
    long = instruction(Opcode.rescale, _at(64, 32), _at(0, 32), {"load": 1})
    copy = instruction(Opcode.copy, _at(128, 32), _at(0, 32), {"load": 1})
    found = estimate(program([load(32), long, copy], sram_bytes=192), MACHINE)
    assert found.instructions[1].end > found.instructions[2].end
    check_exactly(found, Space.sram)


def _at(offset: int, nbytes: int) -> View:
    return View(Space.sram, DataType.int8, (1, 1, 1, nbytes), (nbytes, nbytes, nbytes, 1), offset)


@pytest.mark.parametrize("seed", range(40))
def test_boxes_of_any_strides(seed):
    """NCHW, slices of channels, columns, and boxes that lie in between each other."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(side) for side in rng.integers(1, 5, 4))
    strides = tuple(int(4 * stride) for stride in rng.permutation([0, 1, 5, 7, 24, 30, 90])[:4])
    view = View(Space.sram, DataType.int32, shape, strides, int(4 * rng.integers(0, 9)))
    pages = module._Pages(4096)
    found = np.arange(4096)[pages.of(view)]
    np.testing.assert_array_equal(found, byte_offsets(view))


def test_fifteen_thousand_instructions_take_less_than_a_second():
    instructions: list[Instruction] = []
    for index in range(5000):
        view = View(
            Space.sram, DataType.int8, (1, 16, 16, 48), (65536, 4096, 64, 1), 65536 * (index % 4)
        )
        aside = replace(view, space=Space.ddr, offset=1024 * index)
        waits = {"load": index + 1}
        instructions.append(instruction(Opcode.load, view, aside))
        instructions.append(instruction(Opcode.rescale, view, view, waits))
        instructions.append(instruction(Opcode.store, aside, view, {"vector": index + 1}))
    made = program(instructions, sram_bytes=1 << 18)
    found = estimate(replace(made, ddr_bytes=1024 * 5000 + 65536), MACHINE)
    begin = time.process_time()
    live = occupation(found)
    assert time.process_time() - begin < 1
    assert 0 < live["sram"].peak <= 1 << 18
