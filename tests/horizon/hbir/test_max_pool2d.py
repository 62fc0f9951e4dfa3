"""Max pooling against torch, and its exports and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, parse_text, run, to_text, verify
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from tests.horizon.hbir.programs import extremes, one_node, random_values, tensor

# (kernel, stride, padding, ceil)
WINDOWS = [
    ((2, 2), (2, 2), (0, 0), 0),
    ((3, 3), (2, 2), (1, 1), 0),
    ((3, 3), (1, 1), (1, 1), 0),
    ((2, 3), (3, 2), (1, 0), 0),
    ((2, 2), (2, 2), (0, 0), 1),
    ((3, 2), (2, 4), (1, 1), 1),
    ((2, 2), (5, 5), (1, 1), 1),
    ((1, 1), (2, 1), (0, 0), 0),
]


def attributes(window: Any) -> dict[str, Any]:
    return dict(zip(("kernel", "stride", "padding", "ceil"), window, strict=True))


def torch_s(x: np.ndarray, window: Any) -> np.ndarray:
    kernel, stride, padding, ceil = window
    values = torch.from_numpy(x).permute(0, 3, 1, 2).double()
    pooled = functional.max_pool2d(values, kernel, stride, padding, ceil_mode=bool(ceil))
    return pooled.permute(0, 2, 3, 1).numpy()


def program(shape: Any, window: Any, dtype: str = "int8", *scales: float) -> Graph:
    size = torch_s(np.zeros(shape), window).shape
    x, y = tensor("x", shape, dtype, *scales), tensor("y", size, dtype, *scales)
    graph = one_node("max_pool2d", [x], y, attributes(window))
    verify(graph)
    return graph


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (2, 11)])
@pytest.mark.parametrize("make", [random_values, extremes])
def test_the_largest_of_each_window(window: Any, dtype: str, size: Any, make: Any) -> None:
    graph = program((2, *size, 3), window, dtype)
    x = make(np.random.default_rng(0), graph.tensors["x"])
    assert (run(graph, {"x": x})["y"] == torch_s(x, window)).all()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_exports(window: Any, dtype: str, tmp_path: Any) -> None:
    graph = program((2, 7, 9, 3), window, dtype, 0.5, 0.25, 2.0)
    export_integer(graph, tmp_path / "i.onnx")
    for integers in check_integer(tmp_path / "i.onnx", graph, np.random.default_rng(1)):
        assert integers.differing == 0
    if dtype != "int32":  # what int32 loses as float32 is no fault of the operator
        export_qdq(graph, tmp_path / "q.onnx")
        for found in check_qdq(tmp_path / "q.onnx", graph, np.random.default_rng(1)):
            assert found.differing == 0
    assert parse_text(to_text(graph), {}).nodes == graph.nodes


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"kernel": (0, 2)}, "kernel \\(0, 2\\)"),
        ({"padding": (2, 0)}, "padding 2; expected at most half"),
        ({"ceil": 2}, "ceil 2"),
        ({"kernel": (9, 9)}, "output of size"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], found: str) -> None:
    graph = program((1, 4, 4, 2), WINDOWS[0])
    (node,) = graph.nodes
    broken = replace(node, attributes=attributes(WINDOWS[0]) | changed)
    with pytest.raises(InputError, match=found):
        verify(replace(graph, nodes=(broken,)))


def adaptive(shape: Any, size: Any, dtype: str = "int8") -> Graph:
    x, y = tensor("x", shape, dtype, 0.5), tensor("y", (shape[0], *size, shape[3]), dtype, 0.5)
    graph = one_node("adaptive_max_pool2d", [x], y, {"size": size})
    verify(graph)
    return graph


@pytest.mark.parametrize(("size", "kernel"), [((1, 1), (6, 8)), ((3, 2), (2, 4)), ((6, 8), (1, 1))])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_windows_that_follow_the_map(size: Any, kernel: Any, dtype: str, tmp_path: Any) -> None:
    graph = adaptive((2, 6, 8, 3), size, dtype)
    x = extremes(np.random.default_rng(0), graph.tensors["x"])
    assert (run(graph, {"x": x})["y"] == torch_s(x, (kernel, kernel, (0, 0), 0))).all()
    export_integer(graph, tmp_path / "i.onnx")
    for integers in check_integer(tmp_path / "i.onnx", graph, np.random.default_rng(1)):
        assert integers.differing == 0
    assert parse_text(to_text(graph), {}).nodes == graph.nodes


@pytest.mark.parametrize(
    ("shape", "size", "found"),
    [
        ((1, 6, 8, 2), (4, 2), r"a map of \(6, 8\) for an output of \(4, 2\)"),
        ((1, 1, 514, 2), (1, 2), r"windows of \(1, 257\); expected sides of at most 256"),
    ],
)
def test_windows_that_there_are_not(shape: Any, size: Any, found: str) -> None:
    with pytest.raises(InputError, match=found):
        adaptive(shape, size)


def test_the_type_stays() -> None:
    graph = program((1, 4, 4, 2), WINDOWS[0])
    wide = replace(graph.tensors["y"], dtype="int16")
    with pytest.raises(InputError, match="output int16; expected the input's int8"):
        verify(replace(graph, tensors=graph.tensors | {"y": wide}))
