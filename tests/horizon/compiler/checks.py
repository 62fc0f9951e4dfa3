"""What tests of compiled programs share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from horizon.compiler import Compiled
from horizon.compiler.verify import verify_program
from horizon.hbir import Graph, run
from horizon.hbm.check import check_program
from horizon.hbm.records import Opcode, Program
from horizon.march import Machine, load
from tests.horizon.compiler.interpreter import from_file, random_order, run_program, to_file
from tests.horizon.compiler.random_graphs import random_inputs

LEVELS = ("O0", "O1", "O2", "O3")
ROOT = Path(__file__).parents[3]


def small(sram_bytes: int) -> Machine:
    return replace(load("edge256"), sram_bytes=sram_bytes)


def check(graph: Graph, compiled: Compiled, seed: int = 0) -> None:
    """Valid, verified, and equal to the reference in list order and in two random ones."""
    program = compiled.program
    check_program(program, "program")
    verify_program(compiled)
    rng = np.random.default_rng(seed)
    inputs = random_inputs(graph, seed)
    expected = run(graph, inputs)
    for order in (None, random_order(program, rng), random_order(program, rng)):
        found = from_file(program, run_program(program, to_file(program, inputs), order))
        assert list(found) == list(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def opcodes(program: Program) -> list[str]:
    return [instruction.opcode.name for instruction in program.instructions]


def moved(program: Program, opcode: Opcode) -> int:
    views = [i.out for i in program.instructions if i.opcode is opcode]
    return sum(int(np.prod(view.shape)) * view.dtype.size for view in views)
