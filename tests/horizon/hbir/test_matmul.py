"""Matrix products against sums of Python's integers, exports and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from horizon.errors import InputError
from horizon.hbir import Graph, resized, run, verify
from horizon.hbir.fixed_point import LIMITS
from tests.horizon.hbir.pairs import assert_exports, assert_part
from tests.horizon.hbir.programs import ONE, extremes, one_node, random_values, tensor

BITS = {"int8": 7, "int16": 15, "int32": 30}
TYPES = [("int8", "int8"), ("int8", "int16"), ("int16", "int8")]
# Batch, (rows, columns) of both inputs, heads, channels of a head.
SIZES = [
    (1, (3, 5), (2, 3), 1, 3),
    (2, (1, 4), (3, 2), 2, 1),
    (1, (2, 3), (1, 7), 3, 31),
    (2, (1, 1), (4, 1), 1, 33),
    (1, (4, 2), (1, 1), 2, 2),
]


def program(
    size: Any, transposed: int, types: Any = ("int8", "int8"), out: str = "int8", **limits: int
) -> Graph:
    batch, first, second, heads, channels = size
    places = heads * second[0] * second[1]
    sides = (heads * channels, places) if transposed else (places, heads * channels)
    a = tensor("a", (batch, *first, sides[0]), types[0], 0.5)
    b = tensor("b", (batch, *second, heads * channels), types[1], 0.25)
    summands = sides[0] // heads
    bits = BITS[types[0]] + BITS[types[1]] + summands.bit_length() // 2 - BITS[out]
    low, high = LIMITS[out]
    values = {"heads": heads, "transposed": transposed, "multiplier": ONE + 12345}
    values |= {"shift": max(22 + bits, 1), "lo": low, "hi": high} | limits
    # The step is that which belongs to the ratio.
    step = 0.125 / (values["multiplier"] * 2.0 ** -values["shift"])
    graph = one_node("matmul", [a, b], tensor("y", (batch, *first, sides[1]), out, step), values)
    verify(graph)
    return graph


def inputs_of(graph: Graph, make: Any, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: make(rng, graph.tensors[name]) for name in graph.inputs}


def expected_sum(a: np.ndarray, b: np.ndarray, values: Any, place: Any) -> int:
    """The sum of one element of the output, by the definition."""
    n, y, x, channel = place
    _, rows, columns, channels = b.shape
    own, pixels = channels // values["heads"], rows * columns
    if values["transposed"]:
        g, j = divmod(channel, pixels)
        parts = [
            (a[n, y, x, c], b[n, j // columns, j % columns, c])
            for c in range(g * own, (g + 1) * own)
        ]
    else:
        g = channel // own
        parts = [
            (a[n, y, x, g * pixels + j], b[n, j // columns, j % columns, channel])
            for j in range(pixels)
        ]
    return sum(int(p) * int(q) for p, q in parts)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("types", TYPES)
def test_products_by_the_definition(size: Any, transposed: int, types: Any) -> None:
    for out, make in (("int8", random_values), ("int16", extremes), ("int32", random_values)):
        graph = program(size, transposed, types, out)
        given, values = inputs_of(graph, make), graph.nodes[0].attributes
        found, shift = run(graph, given)["y"], values["shift"]
        for place in product(*map(range, found.shape)):
            total = expected_sum(given["a"], given["b"], values, place) * values["multiplier"]
            rounded = (total + (1 << shift - 1)) >> shift
            assert found[place] == min(max(rounded, values["lo"]), values["hi"])


def test_torch_has_the_same_product() -> None:
    torch = pytest.importorskip("torch")
    graph = program((2, (2, 3), (2, 3), 2, 5), 1, out="int32", multiplier=1 << 23, shift=23)
    given = inputs_of(graph, random_values)
    heads = [
        torch.from_numpy(given[name].transpose(0, 3, 1, 2).copy()).reshape(2, 2, 5, 6)
        for name in ("a", "b")
    ]
    scores = heads[0].transpose(-2, -1) @ heads[1]
    expected = scores.transpose(-2, -1).reshape(2, 12, 2, 3).permute(0, 2, 3, 1)
    assert np.array_equal(run(graph, given)["y"], expected.numpy())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("types", TYPES)
def test_exports(size: Any, transposed: int, types: Any, tmp_path: Any) -> None:
    for out in ("int8", "int16", "int32"):
        graph = program(size, transposed, types, out)
        assert_exports(graph, tmp_path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transposed", [0, 1])
def test_parts_need_what_the_window_says(size: Any, transposed: int) -> None:
    graph = program(size, transposed)
    given = inputs_of(graph, random_values)
    shape = graph.tensors[graph.outputs[0]].shape
    for axis in (0, 1, 2):
        assert_part(graph, given, axis, (shape[axis] // 2, shape[axis]))


def test_another_size_and_batch() -> None:
    graph = resized(program((1, (4, 6), (2, 3), 2, 5), 1), 2, 8, 12)
    assert graph.tensors["y"].shape == (2, 8, 12, 2 * 4 * 6)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"b": (2, 2, 3, 6)}, "one batch, and 6 channels of the first"),
        ({"b": (1, 2, 3, 8)}, "one batch, and 8 channels of the first"),
        ({"heads": 4}, "4 heads of 6 channels; expected a divisor"),
        ({"heads": 0}, "0 heads"),
        ({"transposed": 2}, "transposed 2; expected 0 or 1"),
        ({"transposed": 0}, "one batch, and 12 channels of the first"),
        ({"multiplier": -1}, "multiplier has values -1..-1"),
        ({"shift": 48}, "shift 48..48"),
        ({"hi": 128}, "limits lo -128, hi 128"),
        ({"negative_multiplier": 1}, "attribute 'negative_multiplier'"),
        ({"dtype": "int32"}, "input b is int32; expected int8 or int16"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], found: str) -> None:
    graph = program((1, (3, 5), (2, 3), 2, 3), 1)
    (node,), tensors = graph.nodes, dict(graph.tensors)
    if "b" in changes:
        tensors["b"] = replace(tensors["b"], shape=changes["b"])
    if "dtype" in changes:
        tensors["b"] = replace(tensors["b"], dtype=changes["dtype"])
    numbers = {key: value for key, value in changes.items() if key not in ("b", "dtype")}
    broken = replace(node, attributes=node.attributes | numbers)
    with pytest.raises(InputError, match=found):
        verify(replace(graph, tensors=tensors, nodes=(broken,)))


def test_sums_that_could_overflow_are_refused() -> None:
    with pytest.raises(InputError, match=r"2\*\*28|2\^28"):
        program((1, (1, 2), (1, 2), 1, 64), 1, ("int16", "int8"))
    with pytest.raises(InputError, match=r"2\*\*28|2\^28"):
        program((1, (1, 2), (128, 128), 1, 1), 0)
