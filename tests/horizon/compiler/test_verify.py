"""The verifier accepts right programs and misses no change that changes a result."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from horizon.compiler.verify import verify_program
from horizon.hbir.reference import run
from tests.horizon.compiler.handmade import tiled_conv, whole_pyramid
from tests.horizon.compiler.interpreter import from_file, random_order, run_program, to_file
from tests.horizon.compiler.mutations import count_caught
from tests.horizon.hbir.programs import random_values

PROGRAMS: dict[str, Callable[[], SimpleNamespace]] = {
    "halos": tiled_conv,
    "one buffer": lambda: tiled_conv(buffers=1),
    "stride": lambda: tiled_conv(stride=(2, 2)),
    "dilation": lambda: tiled_conv(rows=3, dilation=(2, 2), padding=(2, 2)),
    "transposed": lambda: tiled_conv("conv_transpose2d", rows=5, stride=(2, 2)),
    "transposed 3 2": lambda: tiled_conv("conv_transpose2d", rows=5, stride=(3, 2)),
    "spill": lambda: tiled_conv(buffers=3, spill=True),
    "pyramid": whole_pyramid,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_right_programs_pass_and_give_the_graphs_integers_in_every_order(name: str) -> None:
    rng = np.random.default_rng(1)
    compiled = PROGRAMS[name]()
    verify_program(compiled)
    graph, program = compiled.graph, compiled.program
    values = {key: random_values(rng, graph.tensors[key]) for key in graph.inputs}
    expected = run(graph, values)
    for order in [None, *(random_order(program, rng) for _ in range(4))]:
        found = from_file(program, run_program(program, to_file(program, values), order))
        for key in expected:
            np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_random_change_of_the_result_is_missed(name: str) -> None:
    rng = np.random.default_rng(2)
    compiled = PROGRAMS[name]()
    graph = compiled.graph
    values = {key: random_values(rng, graph.tensors[key]) for key in graph.inputs}
    expected = run(graph, values)
    caught = count_caught(compiled, values, expected, rng, 60)
    assert caught >= 20
