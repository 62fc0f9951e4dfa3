"""Average pooling against torch and fractions, and its exports and refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, parse_text, run, to_text, verify
from horizon.hbir.fixed_point import LIMITS, quantize_ratio
from horizon.hbir.graph import resized
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from tests.horizon.hbir.programs import ONE, extremes, one_node, random_values, tensor

# (kernel, stride, padding, ceil, include_pad, divisor)
WINDOWS = [
    ((2, 2), (2, 2), (0, 0), 0, 1, 0),
    ((3, 3), (2, 2), (1, 1), 0, 1, 0),
    ((3, 3), (2, 2), (1, 1), 0, 0, 0),
    ((3, 3), (1, 1), (1, 1), 0, 0, 0),
    ((2, 3), (3, 2), (1, 0), 0, 0, 0),
    ((2, 2), (2, 2), (0, 0), 1, 1, 0),
    ((2, 2), (2, 2), (0, 0), 1, 0, 0),
    ((3, 2), (2, 4), (1, 1), 1, 1, 0),
    ((4, 5), (3, 2), (2, 1), 1, 1, 0),
    ((4, 5), (3, 2), (2, 2), 1, 0, 0),
    ((2, 2), (5, 5), (1, 1), 1, 0, 0),
    ((3, 3), (1, 2), (1, 1), 1, 0, 7),
    ((1, 1), (2, 1), (0, 0), 0, 1, 0),
]
KEYS = ("kernel", "stride", "padding", "ceil", "include_pad", "divisor")


def attributes(window: Any, out: str = "int8", ratio: float = 1.3, low: int | None = None) -> Any:
    least, most = LIMITS[out]
    values = dict(zip(KEYS, window, strict=True)) if window else {}
    multiplier, shift = quantize_ratio(ratio, "test")
    limits = {"lo": least if low is None else low, "hi": most}
    return values | {"multiplier": multiplier, "shift": shift} | limits


def torch_s(x: np.ndarray, window: Any, divisor: int | None) -> np.ndarray:
    """NHWC in float64; ``divisor``: torch's divisor_override."""
    kernel, stride, padding, ceil, include, _ = window
    values = torch.from_numpy(x).permute(0, 3, 1, 2).double()
    pooled = functional.avg_pool2d(
        values, kernel, stride, padding, bool(ceil), bool(include), divisor
    )
    return pooled.permute(0, 2, 3, 1).numpy()


def expected(x: np.ndarray, graph: Graph, window: Any) -> np.ndarray:
    """Torch's sums and torch's divisors, and the rounding of fixed_point.md in fractions."""
    values = graph.nodes[0].attributes
    total = torch_s(x, window, 1).astype(np.int64)
    ones = np.ones_like(x)
    means = torch_s(ones, window, window[-1] or None)
    divisors = np.rint(torch_s(ones, window, 1) / means).astype(np.int64)
    return rounded(total, divisors, values)


def rounded(total: np.ndarray, divisors: np.ndarray, values: Any) -> np.ndarray:
    found = np.zeros_like(total)
    for place in np.ndindex(total.shape):
        ratio = Fraction(values["multiplier"], int(divisors[place]) << values["shift"])
        exponent = math.floor(math.log2(ratio)) - 23
        exponent += (ratio / Fraction(2) ** exponent >= 2**24) - (
            ratio / Fraction(2) ** exponent < 2**23
        )
        factor = (
            math.floor(ratio / Fraction(2) ** exponent + Fraction(1, 2)) * Fraction(2) ** exponent
        )
        result = math.floor(int(total[place]) * factor + Fraction(1, 2))
        found[place] = min(max(result, values["lo"]), values["hi"])
    return found


def program(shape: Any, window: Any, dtype: str = "int8", out: str = "int8", **given: Any) -> Graph:
    size = torch_s(np.zeros(shape), window, 1).shape
    values = attributes(window, out, **given)
    scale = 1.0 / (values["multiplier"] / 2.0 ** values["shift"])
    graph = one_node(
        "avg_pool2d", [tensor("x", shape, dtype, 1.0)], tensor("y", size, out, scale), values
    )
    verify(graph)
    return graph


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("dtype", "out"), [("int8", "int8"), ("int16", "int16"), ("int8", "int32")]
)
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (3, 11)])
@pytest.mark.parametrize("make", [random_values, extremes])
def test_the_mean_of_each_window(window: Any, dtype: str, out: str, size: Any, make: Any) -> None:
    graph = program((2, *size, 3), window, dtype, out)
    x = make(np.random.default_rng(0), graph.tensors["x"])
    assert (run(graph, {"x": x})["y"] == expected(x, graph, window)).all()


def adaptive(shape: Any, size: Any, dtype: str = "int8", ratio: float = 1.3) -> Graph:
    values = attributes(None, dtype, ratio) | {"size": size}
    y = tensor("y", (shape[0], *size, shape[3]), dtype, 1 / ratio)
    graph = one_node("adaptive_avg_pool2d", [tensor("x", shape, dtype, 1.0)], y, values)
    verify(graph)
    return graph


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (6, 1), (6, 9)])
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("channels", [1, 3, 31, 33])
def test_adaptive_windows_are_equal_parts(size: Any, dtype: str, channels: int) -> None:
    graph = adaptive((2, 6, 9, channels), size, dtype)
    x = random_values(np.random.default_rng(1), graph.tensors["x"])
    kernel = tuple(side // parts for side, parts in zip((6, 9), size, strict=True))
    window = (kernel, kernel, (0, 0), 0, 1, 0)
    assert (run(graph, {"x": x})["y"] == expected(x, graph, window)).all()


def test_another_size_of_the_input_has_other_windows() -> None:
    graph = resized(adaptive((1, 4, 4, 2), (2, 1)), 2, 12, 6)
    assert graph.tensors["y"].shape == (2, 2, 1, 2)
    x = random_values(np.random.default_rng(2), graph.tensors["x"])
    window = ((6, 6), (6, 6), (0, 0), 0, 1, 0)
    assert (run(graph, {"x": x})["y"] == expected(x, graph, window)).all()


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("window", [*WINDOWS, (2, 3), (1, 1)], ids=str)
def test_exports(window: Any, dtype: str, tmp_path: Any) -> None:
    graph = adaptive((2, 8, 9, 3), window, dtype) if len(window) == 2 else None
    graph = graph or program((2, 8, 9, 3), window, dtype, dtype)
    export_integer(graph, tmp_path / "i.onnx")
    for integers in check_integer(tmp_path / "i.onnx", graph, np.random.default_rng(1)):
        assert integers.differing == 0
    export_qdq(graph, tmp_path / "q.onnx")
    for found in check_qdq(tmp_path / "q.onnx", graph, np.random.default_rng(1)):
        assert found.largest_steps <= 1.01  # a tie, which QuantizeLinear rounds to even
    assert parse_text(to_text(graph), {}).nodes == graph.nodes


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"kernel": (0, 2)}, "kernel \\(0, 2\\)"),
        ({"padding": (2, 0)}, "padding 2; expected at most half"),
        ({"ceil": 2}, "ceil 2"),
        ({"include_pad": -1}, "include_pad -1; expected 0 or 1"),
        ({"divisor": -1}, "divisor -1"),
        ({"kernel": (9, 9)}, "output of size"),
        ({"multiplier": 0}, "ratio of scales"),
        ({"multiplier": ONE, "shift": 47}, "needs shift 49"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], found: str) -> None:
    graph = program((1, 4, 4, 2), WINDOWS[0])
    (node,) = graph.nodes
    broken = replace(node, attributes=node.attributes | changed)
    with pytest.raises(InputError, match=found):
        verify(replace(graph, nodes=(broken,)))


def test_a_size_that_does_not_divide_the_map_is_refused() -> None:
    with pytest.raises(InputError, match=r"a map of \(5, 4\) for an output of \(2, 2\).*multiples"):
        adaptive((1, 5, 4, 2), (2, 2))


def test_sums_stay_below_the_limit() -> None:
    """8191 elements of int16 are the most; each step of the bound is proven, not measured."""
    adaptive((1, 1, 127, 1), (1, 1), "int16")
    exact = adaptive((1, 89, 92, 1), (1, 1), "int16")  # 8188 elements
    low = np.full((1, 89, 92, 1), -32768)
    assert run(exact, {"x": low})["y"].item() == -32768
    with pytest.raises(InputError, match=r"8,192 elements can reach 268,435,456; .* int8 tensor"):
        adaptive((1, 64, 128, 1), (1, 1), "int16")
    whole = adaptive((1, 256, 256, 1), (1, 1), "int8", 1.0)
    assert run(whole, {"x": np.full((1, 256, 256, 1), -128)})["y"].item() == -128
    with pytest.raises(InputError, match=r"windows of \(257, 3\).*pool twice"):
        adaptive((1, 257, 3, 1), (1, 1))
