"""A traced program in every executor: the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from horizon import march
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir import Graph, reference
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from horizon.hbm import to_bytes
from horizon.runtime import Model
from tests.horizon.compiler.interpreter import from_file, run_program, to_file


def assert_compiled_is_reference(graph: Graph, machine: str, opt: str) -> None:
    """The compiled program gives the reference's integers on any and on extreme inputs.

    It is verified, and run by the executor and by the slow interpreter.
    """
    compiled = compile_program(graph, march.load(machine), opt)
    verify_program(compiled)
    model = Model(to_bytes(compiled.program), threads=2)
    rng = np.random.default_rng(0)
    for choices in (np.arange(-128, 128), (-128, 127)):
        values = {name: rng.choice(choices, graph.tensors[name].shape) for name in graph.inputs}
        expected = reference.run(graph, values)
        given = to_file(compiled.program, values)
        for outputs in (run_program(compiled.program, given), model.run(given)):
            for name, found in from_file(compiled.program, outputs).items():
                np.testing.assert_array_equal(found, expected[name])


def assert_onnx_is_reference(graph: Graph, folder: Path) -> None:
    """Integer ONNX gives the reference's integers; with Q and DQ, values within 2 %."""
    rng = np.random.default_rng(1)
    export_integer(graph, folder / "integer.onnx", {})
    assert not any(one.differing for one in check_integer(folder / "integer.onnx", graph, rng))
    export_qdq(graph, folder / "qdq.onnx")
    values = {name: rng.integers(-128, 128, graph.tensors[name].shape) for name in graph.inputs}
    outputs = reference.run(graph, values)
    for one in check_qdq(folder / "qdq.onnx", graph, rng):
        largest = np.abs(outputs[one.output] * np.array(graph.tensors[one.output].scales)).max()
        assert one.largest_difference < 0.02 * largest
