"""What tests of operators of two tensors, a and b, share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from horizon.hbir import Graph, parse_text, run, to_text
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from horizon.hbir.operators import operator_of


def assert_exports(graph: Graph, folder: Path) -> None:
    """Integer ONNX gives the integers, QDQ ONNX is a step off at most, the text is the graph."""
    export_integer(graph, folder / "integer.onnx")
    for integers in check_integer(folder / "integer.onnx", graph, np.random.default_rng(1)):
        assert integers.differing == 0
    if graph.tensors[graph.outputs[0]].dtype != "int32":
        # what int32 loses as float32 is no fault of the operator
        export_qdq(graph, folder / "q.onnx")
        for found in check_qdq(folder / "q.onnx", graph, np.random.default_rng(1)):
            assert found.largest_steps <= 1.01
    assert parse_text(to_text(graph), {}).nodes == graph.nodes


def assert_part(
    graph: Graph, given: Mapping[str, np.ndarray], axis: int, made: tuple[int, int]
) -> None:
    """From what the operator's window names, its output's part ``made`` of ``axis`` follows."""
    (node,) = graph.nodes
    operator, whole = operator_of(node), run(graph, given)[graph.outputs[0]]
    shapes = [given[name].shape for name in ("a", "b")]
    parts = []
    for operand, name in enumerate(("a", "b")):
        window = operator.window(node, shapes, operand, axis, made)
        start, stop = window or (0, shapes[operand][axis])
        parts.append(given[name].take(range(start, stop), axis))
    assert np.array_equal(operator.run(node, parts), whole.take(range(*made), axis))
