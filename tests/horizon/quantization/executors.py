"""A program in every executor and export, compared with the reference: no integer differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir import Graph, parse_text, reference, to_text
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from horizon.hbir.text import constants
from horizon.hbm import to_bytes
from horizon.march import load
from horizon.runtime import Model
from tests.horizon.compiler.checks import small
from tests.horizon.compiler.interpreter import from_file, run_program, to_file
from tests.horizon.hbir.programs import extremes, random_values

MACHINES = (load("host"), load("nash-e"), small(32768))


def assert_every_executor(graph: Graph, folder: Path, qdq_steps: int = 2) -> None:
    """:func:`check_exports` and :func:`check_programs`."""
    check_exports(graph, folder, qdq_steps)
    check_programs(graph)


def check_exports(graph: Graph, folder: Path, qdq_steps: int = 2) -> None:
    """Text and integer ONNX give the same integers, QDQ ONNX values near them.

    The ONNX form in real numbers rounds in float32: it may be ``qdq_steps`` away, and more where
    a sum of 32 bits shows steps of 8 bits before it.
    """
    assert to_text(parse_text(to_text(graph), constants(graph))) == to_text(graph)
    rng = np.random.default_rng(1)
    export_integer(graph, folder / "integers.onnx")
    for integers in check_integer(folder / "integers.onnx", graph, rng):
        assert integers.differing == 0, integers
    export_qdq(graph, folder / "qdq.onnx")
    for real in check_qdq(folder / "qdq.onnx", graph, rng):
        wide = graph.tensors[real.output].dtype == "int32"
        near = real.largest_difference < 0.1 if wide else real.largest_steps <= qdq_steps
        assert near, real


def check_programs(graph: Graph) -> None:
    """For this CPU, a board and a machine of little memory, at O0 and O3, in both executors."""
    rng = np.random.default_rng(1)
    for machine in MACHINES:
        for level in ("O0", "O3"):
            compiled = compile_program(graph, machine, level)
            verify_program(compiled)
            program = compiled.program
            model = Model(to_bytes(program), threads=2)
            for make in (random_values, extremes):
                given = {name: make(rng, graph.tensors[name]) for name in graph.inputs}
                expected = reference.run(graph, given)
                stored = to_file(program, given)
                for outputs in (run_program(program, stored), model.run(stored)):
                    for key, found in from_file(program, outputs).items():
                        np.testing.assert_array_equal(found, expected[key])
