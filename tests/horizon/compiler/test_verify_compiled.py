"""The verifier on programs that the compiler made: right ones pass, changed ones do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import horizon.march
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir.reference import run
from horizon.march import Machine
from tests.horizon.compiler.extreme_graphs import random_graph, random_inputs
from tests.horizon.compiler.interpreter import from_file, random_order, run_program, to_file
from tests.horizon.compiler.mutations import count_caught

LEVELS = ("O0", "O1", "O2", "O3")
MACHINES = ("host", "small")
SEEDS = (*range(7), 8)  # 7 has a layer that no tile of the small machine holds


def machine(name: str) -> Machine:
    """The host, or an accelerator so small that these graphs are tiled."""
    if name == "host":
        return horizon.march.load(name)
    return replace(horizon.march.load("edge256"), name=name, sram_bytes=32 * 1024)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("seed", SEEDS)
def test_programs_of_every_level_pass_and_are_right_in_every_order(seed: int, name: str) -> None:
    graph = random_graph(seed, count=8)
    rng = np.random.default_rng(seed)
    values = random_inputs(graph, rng, ("any", "extreme")[seed % 2])
    expected = run(graph, values)
    for level in LEVELS:
        compiled = compile_program(graph, machine(name), level)
        verify_program(compiled)
        program = compiled.program
        for order in (None, random_order(program, rng), random_order(program, rng)):
            found = from_file(program, run_program(program, to_file(program, values), order))
            for key in expected:
                np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_change_of_the_result_is_missed(seed: int, name: str) -> None:
    graph = random_graph(seed, count=8)
    rng = np.random.default_rng(seed)
    values = random_inputs(graph, rng, "any")
    expected = run(graph, values)
    compiled = compile_program(graph, machine(name), LEVELS[seed % len(LEVELS)])
    caught = count_caught(compiled, values, expected, rng, 30)
    assert caught
