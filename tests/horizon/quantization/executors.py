"""A traced program in every executor, compared with the reference: no integer differs."""

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
from tests.horizon.compiler.interpreter import from_file, run_program, to_file
from tests.horizon.hbir.programs import extremes, random_values

MACHINES = ("host", "nash-e")


def assert_every_executor(graph: Graph, folder: Path, qdq_steps: int = 2) -> None:
    """Text form, integer ONNX, and programs for two machines at O0 and O3, of ``graph``.

    The ONNX form in real numbers rounds in float32: it may be ``qdq_steps`` away.
    """
    assert to_text(parse_text(to_text(graph), constants(graph))) == to_text(graph)
    export_integer(graph, folder / "integers.onnx")
    rng = np.random.default_rng(1)
    for integers in check_integer(folder / "integers.onnx", graph, rng):
        assert integers.differing == 0
    export_qdq(graph, folder / "qdq.onnx")
    for real in check_qdq(folder / "qdq.onnx", graph, rng):
        assert real.largest_steps <= qdq_steps
    for machine in MACHINES:
        for level in ("O0", "O3"):
            compiled = compile_program(graph, load(machine), level)
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
