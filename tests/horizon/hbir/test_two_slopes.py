"""Two slopes: multipliers of their own for negative sums, in the one rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from horizon.errors import InputError
from horizon.hbir import run, verify
from horizon.hbir.fixed_point import LIMITS, align_slopes
from horizon.hbir.graph import Graph
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from horizon.hbir.operators import OPERATORS
from tests.horizon.hbir.programs import (
    ONE,
    conv_attributes,
    conv_program,
    extremes,
    one_node,
    random_values,
    tensor,
)

SHIFTS = {"int8": 33, "int16": 26, "int32": 23}


def convolution(op: str, residual: str | None, out: str, dtype: str = "int8") -> Graph:
    rng = np.random.default_rng(len(out) + bool(residual))
    values = conv_attributes(rng, op, (5, 3, 3, 4), out, residual is not None)
    values["lo"] = LIMITS[out][0]
    values["negative_multiplier"] = rng.integers(-2 * ONE, 2 * ONE + 1, 5)
    values["negative_multiplier"][0] = 0
    if residual:
        values["negative_residual_multiplier"] = rng.integers(-2 * ONE, 2 * ONE + 1, 5)
    return conv_program(op, (2, 5, 6, 4), values, dtype, out, residual)


def rescale(source: str, out: str, vector: bool) -> Graph:
    rng = np.random.default_rng(3)
    shift = SHIFTS[out] - {"int8": 10, "int16": 2, "int32": -6}[source]
    values: dict[str, Any] = {"multiplier": ONE + 5, "shift": max(shift, 20)}
    values |= dict(zip(("lo", "hi"), LIMITS[out], strict=True))
    values["negative_multiplier"] = rng.integers(-ONE, ONE, 7) if vector else ONE // 10
    shape = (1, 3, 4, 7)
    return one_node("rescale", [tensor("x", shape, source)], tensor("y", shape, out), values)


def add() -> Graph:
    values = {"multiplier_a": ONE + 1, "multiplier_b": ONE // 400, "shift": 24}
    values |= {"lo": -128, "hi": 127}
    values |= {"negative_multiplier_a": -ONE // 7, "negative_multiplier_b": ONE // 300}
    shape = (1, 3, 5, 6)
    inputs = [tensor("a", shape), tensor("b", shape, "int16")]
    return one_node("add", inputs, tensor("y", shape), values)


def correlation() -> Graph:
    values = {"max_displacement": 1, "multiplier": ONE + 3, "shift": 33, "lo": -128, "hi": 127}
    inputs = [tensor("a", (1, 4, 5, 6)), tensor("b", (1, 4, 5, 6))]
    y = tensor("y", (1, 4, 5, 9))
    return one_node("correlation", inputs, y, values | {"negative_multiplier": ONE // 10})


PROGRAMS = {
    "conv2d": convolution("conv2d", None, "int8"),
    "conv2d of int16": convolution("conv2d", None, "int16", "int16"),
    "conv2d with residual": convolution("conv2d", "int16", "int8"),
    "conv_transpose2d": convolution("conv_transpose2d", None, "int16"),
    "conv_transpose2d with residual": convolution("conv_transpose2d", "int8", "int8"),
    "rescale": rescale("int8", "int8", False),
    "rescale by channels": rescale("int16", "int8", True),
    "rescale of int32": rescale("int32", "int16", True),
    "add": add(),
    "correlation": correlation(),
}


def plain(graph: Graph, **changed: Any) -> Graph:
    """The program without second slopes, and with other attributes."""
    (node,) = graph.nodes
    kept = {key: value for key, value in node.attributes.items() if "negative" not in key}
    return replace(graph, nodes=(replace(node, attributes=kept | changed),))


def sums(graph: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What the multipliers multiply: the accumulator, and the second summand if there is one."""
    (node,) = graph.nodes
    names = node.inputs
    if "weight" not in node.attributes and node.op != "correlation":
        return [inputs[name] for name in names]
    info = graph.tensors[node.output]
    raw = replace(graph, tensors=graph.tensors | {info.name: replace(info, dtype="int32")})
    unit = np.full_like(np.asarray(node.attributes["multiplier"]), ONE)
    changed: dict[str, Any] = {
        "multiplier": unit if unit.ndim else ONE,
        "shift": np.full_like(unit, 23) if unit.ndim else 23,
    }
    changed |= dict(zip(("lo", "hi"), LIMITS["int32"], strict=True))
    if "residual_multiplier" in node.attributes:
        changed["residual_multiplier"] = np.zeros_like(unit)
    accumulator = run(plain(raw, **changed), inputs)["y"]
    second = [inputs[names[1]]] if "residual_multiplier" in node.attributes else []
    return [accumulator, *second]


@pytest.mark.parametrize("graph", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("make", [random_values, extremes])
def test_the_sign_of_the_sum_chooses_its_multipliers(graph: Graph, make: Any) -> None:
    rng = np.random.default_rng(1)
    (node,) = graph.nodes
    values = node.attributes
    inputs = {name: make(rng, graph.tensors[name]) for name in graph.inputs}
    slopes = OPERATORS[node.op].slopes
    parts = [part.astype(object) for part in sums(graph, inputs)]  # integers without a limit

    def total(names: Any) -> np.ndarray:
        factors = [np.asarray(values[name]).astype(object) for name in names if name in values]
        return sum(part * factor for part, factor in zip(parts, factors, strict=True))

    above, below = total(slopes), total(slopes.values())
    chosen = np.where(above >= 0, above, below)
    shift = np.asarray(values["shift"]).astype(object)
    rounded = (chosen + 2 ** (shift - 1)) // 2**shift
    expected = np.minimum(np.maximum(rounded, values["lo"]), values["hi"])
    found = run(graph, inputs)["y"]
    assert (found == expected).all()
    assert (above < 0).any()
    assert (above >= 0).any()
    assert (run(plain(graph), inputs)["y"] != found).any()


@pytest.mark.parametrize("graph", PROGRAMS.values(), ids=PROGRAMS)
def test_integer_onnx_gives_the_same_integers(graph: Graph, tmp_path: Any) -> None:
    export_integer(graph, tmp_path / "a.onnx")
    for found in check_integer(tmp_path / "a.onnx", graph, np.random.default_rng(2)):
        assert found.differing == 0


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0, 2.5, -0.3])
@pytest.mark.parametrize("residual", [None, "int8"])
def test_qdq_onnx_is_close(slope: float, residual: str | None, tmp_path: Any) -> None:
    graph = convolution("conv2d", residual, "int8")
    (node,) = graph.nodes
    values = dict(node.attributes)
    keys = ["multiplier", *(["residual_multiplier"] if residual else [])]
    ratios = np.stack([values[key] / 2.0 ** values["shift"] for key in keys])
    above, below, shift = align_slopes(ratios, np.full(5, slope), "layer")
    for index, key in enumerate(keys):
        values |= {key: above[index], f"negative_{key}": below[index]}
    node = replace(node, attributes=values | {"shift": shift})
    graph = replace(graph, nodes=(node,))
    export_qdq(graph, tmp_path / "a.onnx")
    for found in check_qdq(tmp_path / "a.onnx", graph, np.random.default_rng(2)):
        assert found.largest_steps < 1.01


def test_slopes_that_are_one_go_and_others_stay() -> None:
    for graph in PROGRAMS.values():
        (node,) = graph.nodes
        operator = OPERATORS[node.op]
        assert operator.folded(node).attributes.keys() == node.attributes.keys()
    graph = PROGRAMS["conv2d"]
    (node,) = graph.nodes
    same = node.attributes | {"negative_multiplier": node.attributes["multiplier"].copy()}
    folded = OPERATORS[node.op].folded(replace(node, attributes=same))
    assert folded.attributes.keys() == plain(graph).nodes[0].attributes.keys()
    (node,) = PROGRAMS["add"].nodes
    values = node.attributes | {"multiplier_b": 0, "negative_multiplier_b": 0}
    assert OPERATORS["add"].folded(replace(node, attributes=values)).attributes == {
        "multiplier": ONE + 1,
        "negative_multiplier": -ONE // 7,
        "shift": 24,
        "lo": -128,
        "hi": 127,
    }


@pytest.mark.parametrize(
    ("program", "changed", "found"),
    [
        ("conv2d", {"negative_multiplier": np.full(5, -2 * ONE - 1)}, "negative_multiplier has"),
        ("conv2d", {"negative_multiplier": np.full(4, 0)}, "negative_multiplier has shape"),
        ("conv2d", {"negative_residual_multiplier": np.full(5, 0)}, "by multiplier|two slopes by"),
        ("conv2d with residual", {"negative_multiplier": None}, "two slopes by"),
        ("rescale", {"negative_multiplier": 2 * ONE + 1}, "-2\\^24"),
        ("add", {"negative_multiplier_b": None}, "two slopes by"),
    ],
)
def test_slopes_that_do_not_fit_are_refused(
    program: str, changed: dict[str, Any], found: str
) -> None:
    graph = PROGRAMS[program]
    (node,) = graph.nodes
    values = {key: v for key, v in (node.attributes | changed).items() if v is not None}
    with pytest.raises(InputError, match=found):
        verify(replace(graph, nodes=(replace(node, attributes=values),)))


def test_multipliers_of_slopes_share_the_shift_of_the_steepest() -> None:
    ratios = np.array([[0.3, 0.3, 0.3], [0.01, 0.01, 0.01]])
    above, below, shift = align_slopes(ratios, np.array([0.1, 1.7, -4.0]), "layer")
    assert (above < 2**24).all()
    assert (np.abs(below) <= 2**24).all()
    largest = np.maximum(np.abs(above), np.abs(below)).max(0)
    assert ((largest >= 2**23) & (largest <= 2**24)).all()
    assert np.allclose(above * 2.0**-shift, ratios, rtol=1e-5)
    assert np.allclose(below * 2.0**-shift, ratios * [0.1, 1.7, -4.0], rtol=1e-4)
    with pytest.raises(InputError, match="slope of channel 1 is nan"):
        align_slopes(ratios, np.array([0.1, np.nan, 1.0]), "layer")
