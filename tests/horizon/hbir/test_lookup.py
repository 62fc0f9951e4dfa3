"""Activations by table: the tables, the operator, its exports and refusals."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from horizon.errors import InputError
from horizon.hbir import Graph, activations, parse_text, run, to_text, verify
from horizon.hbir.activations import FUNCTIONS, activation, activation_table, parse_activation
from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from horizon.hbir.text import constants
from horizon.quantization.layers.lookup import REAL
from tests.horizon.hbir.programs import extremes, one_node, random_values, tensor

TEXTS = [
    *("sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "mish", "hardswish", "hardsigmoid"),
    *("elu(1.0)", "elu(0.3)", "celu(0.5)", "selu", "softplus(1.0,20.0)", "softplus(2.0,1.5)"),
    *("logsigmoid", "softsign", "tanhshrink", "hardshrink(0.5)", "softshrink(0.75)"),
    "threshold(0.25,-1.0)",
    *("exp", "erf", "sin", "cos", "square", "sqrt", "rsqrt(0.043)", "log(0.043)"),
    *("reciprocal(1.0,0.043)", "reciprocal(-2.5,0.043)", "pow(3.0,0.043)", "pow(0.0,0.043)"),
    *("pow(-3.0,0.043)", "pow(-2.0,0.043)", "pow(1.7,0.043)", "pow(-0.3,0.043)"),
]
each_text = pytest.mark.parametrize("text", TEXTS)
# Powers of two have ties; far apart they saturate.
SCALES = [(1 / 16, 1 / 32), (0.043, 0.02), (2.0, 0.125), (0.001, 0.0005), (0.1, 2.0**-21)]


def float32(value: float) -> float:
    return float(np.float32(value))


@each_text
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("scales", SCALES)
def test_a_table_is_the_rounded_function(text: str, dtype: str, scales: Any) -> None:
    scale_in, scale_out = map(float32, scales)
    table = activation_table(text, scale_in, scale_out, dtype)
    assert table.dtype == dtype
    assert not table.flags.writeable
    # torch's function in float64; where that is within 1e-9 of a tie, either integer.
    name, parameters = parse_activation(text)
    real = REAL[name](torch.arange(-128, 128).double() * scale_in, *parameters) / scale_out
    low, high = LIMITS[dtype]
    allowed = [(real + 0.5 + near).floor().clamp(low, high).numpy() for near in (-1e-9, 1e-9)]
    assert ((table == allowed[0]) | (table == allowed[1])).all()


@each_text
def test_float64_and_exact_numbers_give_the_same_table(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales = float32(0.0431), float32(0.0173)
    expected = activation_table(text, *scales, "int8")
    monkeypatch.setattr(activations, "NEAR", 1.0)  # everything is computed exactly
    exact = activation_table.__wrapped__(text, *scales, "int8")
    assert np.array_equal(exact, expected)


def test_ties_round_up() -> None:
    scale = 1 / 16
    table = activation_table("hardswish", scale, 2 * scale, "int8")
    for q in range(-128, 128):
        x = q * Fraction(scale)
        value = x * min(max(x + 3, Fraction(0)), Fraction(6)) / 6 / Fraction(2 * scale)
        assert table[q + 128] == (value + Fraction(1, 2)).__floor__()
    # A sigmoid that is 1 but for 1e-45 counts as the tie that it is almost.
    assert activation_table("silu", 1.0, 2.0, "int8")[128 + 101] == 51
    assert activation_table("silu", 1.0, 2.0, "int8")[128 + 1] == 0


def test_tables_are_the_same_everywhere() -> None:
    """What this digest is of must not depend on the processor or its mathematical functions."""
    digest = hashlib.sha256()
    for text in TEXTS:
        for scales in SCALES:
            for dtype in ("int8", "int16"):
                table = activation_table(text, *map(float32, scales), dtype)
                digest.update(table.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
    assert digest.hexdigest()[:16] == DIGEST


DIGEST = "ff1a3f4a073bdcbe"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("relu", "expected one of sigmoid"),
        ("silu(1.0)", "expected silu with no parameters"),
        ("elu", r"expected elu with \(alpha\)"),
        ("elu(x)", "finite numbers"),
        ("softplus(1.0)", r"\(beta,threshold\)"),
        ("elu(inf)", "finite numbers"),
        ("softplus(0.0,20.0)", "beta 0.0; expected above 0"),
        ("log", r"expected log with \(floor\)"),
        ("pow(-2.0,0.0)", "floor 0.0; expected above 0"),
        ("silu; lo=3", "expected one of"),
    ],
)
def test_what_is_no_activation_is_refused(text: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        parse_activation(text)


def test_texts_read_back() -> None:
    for text in TEXTS:
        name, parameters = parse_activation(text)
        assert activation(name, *parameters) == text
    assert {parse_activation(text)[0] for text in TEXTS} == set(FUNCTIONS) == set(REAL)


def program(shape: Any, text: str, dtype: str, scales: tuple[float, float]) -> Graph:
    x, y = tensor("x", shape, "int8", scales[0]), tensor("y", shape, dtype, scales[1])
    table = activation_table(text, float32(scales[0]), float32(scales[1]), dtype)
    graph = one_node("lookup", [x], y, {"function": text, "table": table})
    verify(graph)
    return graph


@each_text
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_exports(text: str, dtype: str, tmp_path: Any) -> None:
    scale_out = 2.0**-6 if dtype == "int8" else 2.0**-13
    graph = program((2, 7, 19, 3), text, dtype, (float32(0.047), scale_out))
    export_integer(graph, tmp_path / "i.onnx")
    for integers in check_integer(tmp_path / "i.onnx", graph, np.random.default_rng(1)):
        assert integers.differing == 0
    export_qdq(graph, tmp_path / "q.onnx")
    every = np.resize(np.arange(-128, 128), (2, 7, 19, 3))
    for found in check_qdq(tmp_path / "q.onnx", graph, [{"x": every}]):
        # float32 has an error of its own, which in steps of int16 is seen.
        assert found.largest_steps <= 1
        assert found.differing <= (0 if dtype == "int8" else 0.02 * found.values)
    assert parse_text(to_text(graph), constants(graph)).nodes[0].attributes["function"] == text


@pytest.mark.parametrize("make", [random_values, extremes])
def test_the_reference_looks_up(make: Any) -> None:
    graph = program((1, 2, 3, 4), "silu", "int16", (0.05, 0.001))
    x = make(np.random.default_rng(0), graph.tensors["x"])
    table = graph.nodes[0].attributes["table"]
    expected = [int(table[value + 128]) for value in x.flat]
    assert run(graph, {"x": x})["y"].reshape(-1).tolist() == expected


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"function": "relu"}, "activation 'relu'"),
        ({"function": 3}, "attribute function is 3; expected activation"),
        ({"table": np.zeros(255, np.int8)}, r"shape \(255,\); expected \(256,\)"),
        ({"table": np.zeros(256, np.int16)}, "table of int16; expected the output's int8"),
        ({"table": np.zeros(256, np.int32)}, "expected int8 or int16 array"),
        ({"lo": 0}, "attribute 'lo'"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], found: str) -> None:
    graph = program((1, 4, 4, 2), "silu", "int8", (0.05, 0.05))
    (node,) = graph.nodes
    broken = replace(node, attributes=node.attributes | changed)
    with pytest.raises(InputError, match=found):
        verify(replace(graph, nodes=(broken,)))


@pytest.mark.parametrize(("name", "dtype"), [("x", "int16"), ("y", "int32")])
def test_types(name: str, dtype: str) -> None:
    graph = program((1, 4, 4, 2), "silu", "int8", (0.05, 0.05))
    other = replace(graph.tensors[name], dtype=dtype)
    with pytest.raises(InputError, match=f"{name} is {dtype}|output {dtype}"):
        verify(replace(graph, tensors=graph.tensors | {name: other}))
