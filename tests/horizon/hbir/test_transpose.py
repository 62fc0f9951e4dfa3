"""Exchange of pixels and channels against its definition, exports and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from horizon.errors import InputError
from horizon.hbir import Graph, parse_text, resized, run, to_text, verify
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from tests.horizon.hbir.programs import extremes, one_node, tensor

# (N, H, W) of the input, heads, rows and columns of the output.
SIZES = [
    ((1, 3, 5), 1, (1, 1)),
    ((2, 1, 4), 2, (3, 2)),
    ((1, 2, 3), 3, (1, 31)),
    ((2, 1, 1), 1, (33, 1)),
]


def program(size: Any, dtype: str = "int8") -> Graph:
    (batch, height, width), heads, (rows, columns) = size
    x = tensor("x", (batch, height, width, heads * rows * columns), dtype, 0.5)
    y = tensor("y", (batch, rows, columns, heads * height * width), dtype, 0.5)
    graph = one_node("transpose", [x], y, {"heads": heads, "size": (rows, columns)})
    verify(graph)
    return graph


def given(graph: Graph) -> dict[str, np.ndarray]:
    return {"x": extremes(np.random.default_rng(0), graph.tensors["x"])}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_every_element_by_the_definition(size: Any, dtype: str) -> None:
    graph = program(size, dtype)
    _, heads, (rows, columns) = size
    values = given(graph)
    x, y = values["x"], run(graph, values)["y"]
    _, height, width, _ = x.shape
    pixels, channels = height * width, rows * columns
    for n, h, p, c in product(range(len(x)), range(heads), range(pixels), range(channels)):
        source = x[n, p // width, p % width, h * channels + c]
        assert y[n, c // columns, c % columns, h * pixels + p] == source


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_exports(size: Any, dtype: str, tmp_path: Any) -> None:
    graph = program(size, dtype)
    export_integer(graph, tmp_path / "i.onnx")
    for integers in check_integer(tmp_path / "i.onnx", graph, np.random.default_rng(1)):
        assert integers.differing == 0
    if dtype != "int32":
        export_qdq(graph, tmp_path / "q.onnx")
        for found in check_qdq(tmp_path / "q.onnx", graph, np.random.default_rng(1)):
            assert found.largest_steps == 0
    assert parse_text(to_text(graph), {}).nodes == graph.nodes


def test_another_batch_and_size() -> None:
    graph = resized(program(((1, 3, 5), 2, (2, 2))), 3, 6, 5)
    assert graph.tensors["y"].shape == (3, 2, 2, 2 * 30)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"heads": 3}, "3 heads of 3x2 in 12 channels"),
        ({"heads": 0}, "0 heads"),
        ({"size": (0, 2)}, "size"),
        ({"size": (2, 2)}, "2 heads of 2x2 in 12 channels"),
        ({"lo": 0}, "attribute 'lo'"),
        ({"dtype": "int16"}, "output int16; expected the input's int8"),
        ({"scales": (0.5, 0.25) * 4}, "several scales of y"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], found: str) -> None:
    graph = program(SIZES[1])
    (node,), tensors = graph.nodes, dict(graph.tensors)
    info = {key: changes[key] for key in ("dtype", "scales") if key in changes}
    tensors["y"] = replace(tensors["y"], **info)
    numbers = {key: value for key, value in changes.items() if key not in info}
    broken = replace(node, attributes=node.attributes | numbers)
    with pytest.raises(InputError, match=found):
        verify(replace(graph, tensors=tensors, nodes=(broken,)))
