"""Products of two tensors against exact fractions, exports and refusals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from horizon.errors import InputError
from horizon.hbir import Graph, resized, run, verify
from horizon.hbir.fixed_point import LIMITS
from tests.horizon.hbir.pairs import assert_exports, assert_part
from tests.horizon.hbir.programs import ONE, extremes, one_node, random_values, tensor

BITS = {"int8": 7, "int16": 15, "int32": 30}
TYPES = [("int8", "int8"), ("int8", "int16"), ("int16", "int8"), ("int16", "int16")]
# The second factor's shape: which sides are those of the first, and which are 1.
SPREAD = {
    "as large": (1, 1, 1, 1),
    "each channel": (1, 0, 0, 1),
    "each pixel": (1, 1, 1, 0),
    "each row": (1, 1, 0, 0),
    "columns and channels, one image": (0, 0, 1, 1),
    "one": (0, 0, 0, 0),
}
SHAPES = [(2, 3, 5, 3), (1, 1, 4, 33), (2, 1, 1, 31), (1, 6, 2, 1)]


def program(
    shape: Any, spread: Any = (1, 1, 1, 1), types: Any = ("int8", "int8"), out: str = "int8"
) -> Graph:
    other = tuple(side if own else 1 for side, own in zip(shape, spread, strict=True))
    a, b = tensor("a", shape, types[0], 0.5), tensor("b", other, types[1], 0.25)
    low, high = LIMITS[out]
    shift = 24 + BITS[types[0]] + BITS[types[1]] - BITS[out]
    values = {"multiplier": ONE + 12345, "shift": shift - 1, "lo": low, "hi": high}
    # The steps are those that belong to the ratio.
    step = 0.125 / ((ONE + 12345) * 2.0 ** (1 - shift))
    graph = one_node("mul", [a, b], tensor("y", shape, out, step), values)
    verify(graph)
    return graph


def inputs_of(graph: Graph, make: Any, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: make(rng, graph.tensors[name]) for name in graph.inputs}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", SPREAD.values(), ids=SPREAD)
@pytest.mark.parametrize("types", TYPES)
def test_products_by_exact_fractions(shape: Any, spread: Any, types: Any) -> None:
    for out, make in (("int8", random_values), ("int16", extremes), ("int32", random_values)):
        graph = program(shape, spread, types, out)
        given, values = inputs_of(graph, make), graph.nodes[0].attributes
        a, b = np.broadcast_arrays(given["a"], given["b"])
        ratio = Fraction(values["multiplier"], 2 ** values["shift"])
        expected = [
            min(max(floor(int(p) * int(q) * ratio + Fraction(1, 2)), values["lo"]), values["hi"])
            for p, q in zip(a.flat, b.flat, strict=True)
        ]
        assert run(graph, given)["y"].reshape(-1).tolist() == expected


def test_the_largest_product_fits() -> None:
    graph = program((1, 1, 1, 1), types=("int16", "int16"), out="int32")
    (node,) = graph.nodes
    largest = {"multiplier": 1 << 24, "shift": 24, "lo": -(2**31), "hi": 2**31 - 1}
    graph = replace(graph, nodes=(replace(node, attributes=largest),))
    low = np.full((1, 1, 1, 1), -(2**15))
    assert run(graph, {"a": low, "b": low})["y"].item() == 2**30
    assert run(graph, {"a": low, "b": -low - 1})["y"].item() == -(2**30) + 2**15


@pytest.mark.parametrize("spread", SPREAD.values(), ids=SPREAD)
@pytest.mark.parametrize("types", TYPES)
def test_exports(spread: Any, types: Any, tmp_path: Any) -> None:
    for out in ("int8", "int16", "int32"):
        graph = program((2, 3, 5, 3), spread, types, out)
        assert_exports(graph, tmp_path)


@pytest.mark.parametrize("spread", SPREAD.values(), ids=SPREAD)
def test_parts_need_what_the_window_says(spread: Any) -> None:
    graph = program((2, 4, 5, 6), spread)
    given = inputs_of(graph, random_values)
    for axis, side in enumerate(given["a"].shape):
        assert_part(graph, given, axis, (1, side))


def test_another_size_and_batch() -> None:
    graph = resized(program((1, 4, 6, 3), (1, 1, 1, 0)), 2, 8, 10)
    assert graph.tensors["b"].shape == (2, 8, 10, 1)
    assert graph.tensors["y"].shape == (2, 8, 10, 3)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"b": (2, 3, 5, 2)}, "each side of the second that of the first, or 1"),
        ({"a": (1, 1, 1, 3), "b": (2, 3, 5, 3)}, "each side of the second"),
        ({"multiplier": -1}, "multiplier has values -1..-1"),
        ({"shift": 48}, "shift 48..48"),
        ({"hi": 128}, "limits lo -128, hi 128"),
        ({"negative_multiplier": 1}, "attribute 'negative_multiplier'"),
        ({"dtype": "int32"}, "input b is int32; expected int8 or int16"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], found: str) -> None:
    graph = program((2, 3, 5, 3))
    (node,), tensors = graph.nodes, dict(graph.tensors)
    for name in ("a", "b"):
        if name in changes:
            tensors[name] = replace(tensors[name], shape=changes[name])
    if "dtype" in changes:
        tensors["b"] = replace(tensors["b"], dtype=changes["dtype"])
    numbers = {key: value for key, value in changes.items() if key not in ("a", "b", "dtype")}
    broken = replace(node, attributes=node.attributes | numbers)
    with pytest.raises(InputError, match=found):
        verify(replace(graph, tensors=tensors, nodes=(broken,)))
