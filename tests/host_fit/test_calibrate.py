"""From times to a machine, and from a machine to its description."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hat.errors import InputError
from hat.host_fit import numbers
from hat.host_fit.calibrate import KINDS, Residual, calibrate, kind_of, predicted, residuals
from hat.host_fit.description import description
from hat.host_fit.measure import Timing
from hat.host_fit.probes import probe_graphs
from horizon.compiler import compile_program
from horizon.hbm import Instruction
from horizon.march import Array, Machine, SimpleUnit, Source, TensorUnit, load
from horizon.march.keys import number

HOST = load("host")
# Twice as many threads as the description, and nothing as in it.
KNOWN = replace(
    HOST,
    name="known",
    workers=4,
    clock_hz=2e9,
    sram_bytes_per_cycle=2.0,
    ddr_bytes_per_second=5e10,
    tensor=TensorUnit(
        startup_cycles=2500,
        int16_steps=3.0,
        conv=Array(4, 2, 8, 5.0, 40.0),
        narrow=Array(2, 16, 1, 1.5, 9.0),
        correlation=Array(8, 4, 1, 1.25, 7.0),
        depthwise=Array(2, 1, 16, 3.0, 11.0),
    ),
    simple={
        "load": SimpleUnit(900, 2.5, 3.0),
        "store": SimpleUnit(700, 1.5, 4.0),
        "vector": SimpleUnit(500, 6.0, 0.5),
        "aux": SimpleUnit(1500, 50.0, 0.7),
        "transform": SimpleUnit(400, 12.0, 1.2),
    },
)


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    programs = [compile_program(graph, HOST, opt="O1").program for graph in probe_graphs(20)]
    return [instruction for program in programs for instruction in program.instructions]


@pytest.fixture(scope="module")
def timings(instructions: list[Instruction]) -> list[Timing]:
    """Of ``KNOWN``, without any noise."""
    blank = [Timing(instruction, 1.0) for instruction in instructions]
    seconds = predicted(blank, KNOWN)
    return [Timing(i, float(s)) for i, s in zip(instructions, seconds, strict=True)]


@pytest.fixture(scope="module")
def fitted(timings: list[Timing]) -> Machine:
    start = {"workers": KNOWN.workers, "clock_hz": KNOWN.clock_hz}
    return calibrate(timings, replace(HOST, ddr_bytes_per_second=5e10, **start))


def test_the_probes_have_every_kind_of_instruction(instructions: list[Instruction]) -> None:
    assert {kind_of(instruction) for instruction in instructions} == set(KINDS)


def test_times_without_noise_are_described_exactly(timings: list[Timing], fitted: Machine) -> None:
    errors = [abs(one.relative) for one in residuals(timings, fitted)]
    assert max(errors) < 1e-3


def test_numbers_without_noise_are_found_again(fitted: Machine) -> None:
    """But for the pixels of a correlation, whose maps are multiples of all of them."""
    assert fitted.tensor is not None
    assert KNOWN.tensor is not None
    found, known = fitted.tensor, KNOWN.tensor
    for one, other in ((found.conv, known.conv), (found.narrow, known.narrow)):
        assert (one.pixels, one.inputs, one.outputs) == (other.pixels, other.inputs, other.outputs)
    speed = known.correlation.products_per_cycle
    assert found.correlation.products_per_cycle == pytest.approx(speed, rel=0.01)
    for key in numbers.fitted_keys():
        if not key.startswith("tensor.correlation"):
            value = number(KNOWN, key)
            assert number(fitted, key) == pytest.approx(value, rel=0.01), key


def test_what_the_model_cannot_describe_does_not_pull_at_the_rest(timings: list[Timing]) -> None:
    odd = [
        Timing(t.instruction, t.seconds * (5 if i % 12 == 0 else 1)) for i, t in enumerate(timings)
    ]
    found = calibrate(odd, replace(KNOWN, sram_bytes_per_cycle=8.0))
    plain = [one for i, one in enumerate(residuals(odd, found)) if i % 12]
    assert np.median([abs(one.relative) for one in plain]) < 0.02


@pytest.mark.parametrize("seconds", [0.0, -1e-6, float("nan"), float("inf")])
def test_impossible_times_are_refused(timings: list[Timing], seconds: float) -> None:
    wrong = [*timings[:-1], Timing(timings[-1].instruction, seconds)]
    with pytest.raises(InputError, match="expected a positive time"):
        calibrate(wrong, HOST)


def test_too_few_of_a_kind_are_refused(timings: list[Timing]) -> None:
    without = [timing for timing in timings if kind_of(timing.instruction) != "warp"]
    with pytest.raises(InputError, match="0 measured instructions of kind 'warp'"):
        calibrate(without, HOST)


def test_a_residual_is_relative_to_the_measured_time(timings: list[Timing]) -> None:
    timing = Timing(timings[0].instruction, 2e-6)
    assert Residual(timing, "load", 3e-6).relative == pytest.approx(0.5)


def test_descriptions_are_read_back(fitted: Machine, tmp_path) -> None:
    source = Source("fitted", 'to times, "quoted" \\ and ümlauts')
    machine = replace(fitted, sources={**HOST.sources, "tensor.conv.pixels": source})
    path = tmp_path / "mine.toml"
    path.write_text(description(machine, "One line.\nAnother one."))
    found = load(path)
    assert found.sources == machine.sources
    assert (found.workers, found.clock_hz, found.sequential) == (4, 2e9, True)
    for key in numbers.fitted_keys():
        expected = number(machine, key)
        assert number(found, key) == pytest.approx(expected, rel=1e-3), key


@pytest.mark.parametrize("name", ["host", "bayes", "bernoulli2", "edge256"])
def test_the_description_of_any_machine_is_the_machine(name: str, tmp_path) -> None:
    """Limits, missing units and all, where no number has more digits than are written."""
    machine = load(name)
    path = tmp_path / f"{name}.toml"
    path.write_text(description(machine, "As it was."))
    found = load(path)
    assert found.limits == machine.limits
    assert found.units == machine.units
    assert replace(found, sources={}) == replace(machine, sources={})


def test_numbers_are_replaced_where_they_are() -> None:
    values = {"load.pixel_cycles": 7.0, "tensor.narrow.drain_cycles": 8.0, "clock_hz": 9e9}
    values |= {"memory.sram_bytes_per_cycle": 10.0, "tensor.startup_cycles": 11.0}
    changed = numbers.with_numbers(HOST, values)
    assert {key: number(changed, key) for key in values} == values
    back = numbers.with_numbers(changed, {key: number(HOST, key) for key in values})
    assert back == HOST
