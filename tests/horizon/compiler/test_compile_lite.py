"""The shipped lite network, compiled: integers, sizes, and what levels and waits do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from horizon.compiler import compile_program
from horizon.hbir import Graph, resized, run
from horizon.hbm.records import Opcode, Unit
from horizon.march import load
from horizon.perf import estimate
from tests.horizon.compiler.checks import LEVELS, ROOT, check, moved, opcodes, small
from tests.horizon.compiler.interpreter import from_file, random_order, run_program, to_file
from tests.horizon.compiler.random_graphs import random_inputs


def test_addresses_are_multiples_of_the_alignment() -> None:
    machine = replace(load("edge256"), alignment=512)
    for opt in LEVELS:
        compiled = compile_program(lite(64, 64), machine, opt)
        check(lite(64, 64), compiled)
        assert compiled.program.sram_bytes % 512 == 0
        weights = [i.weight for i in compiled.program.instructions if i.weight]
        assert {view.offset % 512 for view in weights} == {0}


@cache
def lite(height: int, width: int) -> Graph:
    from hat.engine.convert import LoadIntegerModel

    path = ROOT / "models/pwcnet_lite/int_infer-checkpoint-best.pth.tar"
    return resized(LoadIntegerModel(str(path))().graph, 1, height, width)


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("march", ["host", "edge256"])
def test_lite_network(march: str, opt: str) -> None:
    check(lite(64, 64), compile_program(lite(64, 64), load(march), opt))


def test_lite_network_in_tiles() -> None:
    graph = lite(128, 192)
    compiled = compile_program(graph, small(32768), "O3")
    convolutions = sum(node.op.startswith("conv") for node in graph.nodes)
    assert opcodes(compiled.program).count("conv") > 2 * convolutions
    check(graph, compiled)


def test_golden_sizes_of_the_lite_network() -> None:
    found = {}
    for march in ("host", "edge256"):
        for opt in LEVELS:
            program = compile_program(lite(128, 192), load(march), opt).program
            found[march, opt] = (program.sram_bytes, program.ddr_bytes, len(program.instructions))
    assert found == GOLDEN


# SRAM bytes, DDR bytes, instructions
GOLDEN = {
    ("host", "O0"): (1959488, 0, 107),
    ("host", "O1"): (294912, 0, 83),
    ("host", "O2"): (294912, 0, 83),
    ("host", "O3"): (294912, 0, 83),
    ("edge256", "O0"): (234240, 1947200, 368),
    ("edge256", "O1"): (234240, 294912, 320),
    ("edge256", "O2"): (255360, 147456, 161),
    ("edge256", "O3"): (243456, 147456, 350),
}


def test_levels_differ_in_effect() -> None:
    graph = lite(128, 192)
    host = {opt: compile_program(graph, load("host"), opt).program for opt in LEVELS}
    assert opcodes(host["O0"]).count("copy") > opcodes(host["O1"]).count("copy")
    assert host["O0"].sram_bytes > 2 * host["O1"].sram_bytes
    edge = {opt: compile_program(graph, load("edge256"), opt).program for opt in LEVELS}
    traffic = {
        opt: moved(program, Opcode.load) + moved(program, Opcode.store)
        for opt, program in edge.items()
    }
    assert traffic["O0"] > traffic["O1"] > traffic["O2"]
    times = {opt: estimate(program, load("edge256")).latency for opt, program in edge.items()}
    assert times["O0"] > times["O1"] > times["O2"] > times["O3"]


def test_weights_of_the_next_layer_are_loaded_during_the_last_tile() -> None:
    graph = lite(128, 192)
    program = compile_program(graph, load("edge256"), "O2").program
    early = [
        before.layer != after.layer
        for before, after in pairwise(program.instructions)
        if before.opcode is Opcode.load and after.opcode is Opcode.conv
    ]
    assert sum(early) > len(early) / 2


def test_unit_waits_are_needed() -> None:
    """Without waits some order of the units gives other integers."""
    graph = lite(64, 64)
    program = compile_program(graph, load("host"), "O2").program
    careless = replace(
        program,
        instructions=tuple(replace(i, waits=(0,) * len(Unit)) for i in program.instructions),
    )
    inputs = random_inputs(graph, 0)
    order = random_order(careless, np.random.default_rng(0))
    found = from_file(careless, run_program(careless, to_file(careless, inputs), order))
    assert not np.array_equal(found["flow"], run(graph, inputs)["flow"])
