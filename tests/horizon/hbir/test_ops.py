"""Every operator of the reference executor against plain Python loops."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.hbir.fixed_point import LIMITS, offset_fraction_bits
from horizon.hbir.operators.moves import with_side
from horizon.hbir.operators.warp import warp
from horizon.hbir.reference import run
from tests.horizon.hbir import slow
from tests.horizon.hbir.programs import (
    ONE,
    conv_attributes,
    conv_program,
    extremes,
    one_node,
    random_values,
    tensor,
)

CONVOLUTIONS = {
    "one_channel": ((1, 4, 5, 1), (1, 3, 3, 1), {}),
    "three_to_31": ((2, 3, 4, 3), (31, 3, 3, 3), {}),
    "tail_33": ((1, 3, 2, 33), (3, 3, 3, 33), {}),
    "height_1": ((1, 1, 7, 31), (3, 3, 3, 31), {}),
    "width_1": ((1, 6, 1, 3), (2, 3, 3, 3), {"stride": (2, 2)}),
    "strided": ((1, 7, 8, 3), (4, 3, 3, 3), {"stride": (2, 3)}),
    "pointwise": ((1, 3, 3, 33), (1, 1, 1, 33), {"padding": (0, 0)}),
    "uneven": ((1, 5, 6, 3), (2, 1, 5, 3), {"stride": (1, 2), "padding": (0, 3)}),
    "dilated": ((1, 7, 9, 3), (2, 3, 3, 3), {"dilation": (2, 4), "padding": (2, 4)}),
    "dilated_height_1": ((1, 1, 9, 3), (2, 3, 3, 3), {"dilation": (8, 8), "padding": (8, 8)}),
    "grouped": ((1, 3, 4, 6), (9, 3, 3, 2), {"groups": 3}),
    "depthwise": ((1, 3, 4, 31), (31, 3, 3, 1), {"groups": 31}),
    "grouped_outputs": ((1, 3, 4, 6), (3, 3, 3, 2), {"groups": 3}),
    "more_at_the_end": ((1, 3, 4, 3), (5, 4, 2, 3), {"end_padding": (2, 1), "padding": (1, 0)}),
    "less_at_the_end": (
        (1, 5, 1, 31),
        (31, 3, 3, 1),
        {"end_padding": (0, 3), "stride": (2, 2), "groups": 31},
    ),
    "wide_padding": ((1, 2, 2, 1), (1, 2, 2, 1), {"padding": (3, 2)}),
}
TRANSPOSED = {
    "double": ((1, 3, 4, 3), (3, 4, 4, 3), {"stride": (2, 2)}),
    "one_channel": ((1, 1, 4, 1), (1, 4, 4, 1), {"stride": (2, 2)}),
    "tail_33": ((2, 2, 2, 33), (31, 2, 2, 33), {"stride": (2, 2), "padding": (0, 0)}),
    "overlapping": ((1, 3, 3, 3), (2, 3, 3, 3), {}),
    "gaps": ((1, 2, 3, 2), (2, 1, 2, 2), {"stride": (3, 3), "padding": (0, 0)}),
    "uneven": ((1, 2, 3, 2), (2, 5, 2, 2), {"stride": (2, 3), "padding": (2, 1)}),
    "output_padding": ((1, 3, 4, 3), (5, 3, 3, 3), {"stride": (2, 2), "output_padding": (1, 1)}),
    "rows_of_nothing": (
        (2, 1, 3, 1),
        (3, 1, 2, 1),
        {"stride": (4, 3), "padding": (0, 0), "output_padding": (3, 2)},
    ),
    "groups": ((1, 3, 2, 6), (4, 4, 2, 3), {"stride": (2, 2), "groups": 2}),
    "depthwise": (
        (1, 1, 3, 33),
        (33, 3, 3, 1),
        {"stride": (2, 1), "output_padding": (1, 0), "groups": 33},
    ),
}
CASES = [("conv2d", *case) for case in CONVOLUTIONS.values()]
CASES += [("conv_transpose2d", *case) for case in TRANSPOSED.values()]
IDS = [*CONVOLUTIONS, *(f"transposed_{name}" for name in TRANSPOSED)]


@pytest.mark.parametrize(
    ("dtype", "out", "residual"),
    [("int8", "int8", None), ("int8", "int16", "int16"), ("int16", "int32", "int8")],
)
@pytest.mark.parametrize(("op", "shape", "weight", "values"), CASES, ids=IDS)
def test_convolutions(op, shape, weight, values, dtype, out, residual):
    rng = np.random.default_rng(1)
    attributes = conv_attributes(rng, op, weight, out, residual is not None, **values)
    if dtype == "int16":
        # Small weights, or sums of int16 inputs could overflow.
        attributes["weight"] //= 8
    graph = conv_program(op, shape, attributes, dtype, out, residual)
    for choose in (random_values, extremes):
        inputs = {name: choose(rng, graph.tensors[name]) for name in graph.inputs}
        expected = getattr(slow, op)(inputs["x"], attributes, inputs.get("residual"))
        found = run(graph, inputs)["y"]
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("shift", "expected"), [(23, [-128, 127]), (40, [-4, 4])])
def test_the_largest_sums_saturate_or_fit(shift, expected):
    weight = np.full((2, 1, 1, 33), 127, np.int8)
    weight[1] = -127
    attributes = conv_attributes(
        np.random.default_rng(2), "conv2d", weight.shape, "int8", False, padding=(0, 0), lo=-128
    )
    attributes |= {"weight": weight, "bias": np.zeros(2, np.int32)}
    attributes |= {"multiplier": np.full(2, ONE), "shift": np.full(2, shift)}
    graph = conv_program("conv2d", (1, 1, 2, 33), attributes, "int8", "int8", None)
    found = run(graph, {"x": np.full((1, 1, 2, 33), -128)})["y"]
    assert found[0, 0].tolist() == [expected, expected]


def test_raw_accumulators_pass_unchanged():
    rng = np.random.default_rng(3)
    attributes = conv_attributes(rng, "conv2d", (3, 3, 3, 31), "int32", False)
    attributes |= {"multiplier": np.full(3, ONE), "shift": np.full(3, 23)}
    graph = conv_program("conv2d", (1, 3, 3, 31), attributes, "int8", "int32", None)
    x = random_values(rng, graph.tensors["x"])
    centre = sum(
        int(attributes["weight"][2, ky, kx, i]) * int(x[0, ky, kx, i])
        for ky in range(3)
        for kx in range(3)
        for i in range(31)
    )
    assert run(graph, {"x": x})["y"][0, 1, 1, 2] == centre + int(attributes["bias"][2])


@pytest.mark.parametrize(
    ("shape", "reach"),
    [((1, 4, 5, 33), 1), ((2, 1, 6, 3), 2), ((1, 3, 3, 1), 4), ((1, 2, 3, 31), 0)],
)
@pytest.mark.parametrize("lo", [-128, 0])
def test_correlation(shape, reach, lo):
    rng = np.random.default_rng(4)
    attributes = {"max_displacement": reach, "multiplier": 12_345_677, "shift": 36}
    attributes |= {"lo": lo, "hi": 127}
    channels = (2 * reach + 1) ** 2
    a, b, y = tensor("a", shape), tensor("b", shape), tensor("y", (*shape[:3], channels))
    graph = one_node("correlation", [a, b], y, attributes)
    for choose in (random_values, extremes):
        inputs = {name: choose(rng, graph.tensors[name]) for name in "ab"}
        expected = slow.correlation(inputs["a"], inputs["b"], attributes)
        np.testing.assert_array_equal(run(graph, inputs)["y"], expected)


def warp_program(shape, dtype="int8", multiplier=ONE, shift=31):
    """By default, one step of the offset is 1/256 pixel."""
    feature, offset = tensor("feature", shape, dtype), tensor("offset", (*shape[:3], 2), "int16")
    attributes = {"offset_multiplier": multiplier, "offset_shift": shift}
    return one_node("warp", [feature, offset], tensor("y", shape, dtype), attributes)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3])),
    st.sampled_from(["int8", "int16"]),
    st.integers(ONE, 2 * ONE - 1),
    st.integers(20, 40),
    st.integers(0, 2**32 - 1),
)
def test_warp(shape, dtype, multiplier, shift, seed):
    rng = np.random.default_rng(seed)
    graph = warp_program(shape, dtype, multiplier, shift)
    feature = random_values(rng, graph.tensors["feature"])
    reach = rng.choice([3, 300, 32768], graph.tensors["offset"].shape)
    offset = np.clip(np.round(rng.uniform(-1, 1, reach.shape) * reach), -32768, 32767)
    offset = offset.astype(np.int64)
    offset.flat[:2] = rng.choice([-32768, 32767], 2)
    found = run(graph, {"feature": feature, "offset": offset})["y"]
    bits = offset_fraction_bits(*shape[1:3])
    expected = slow.warp(feature, offset, Fraction(multiplier, 2**shift), bits)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("width", [127, 128, 300, 1024, 16384])
def test_warp_of_wide_maps_has_fewer_fraction_bits(width):
    rng = np.random.default_rng(width)
    shape = (1, 1, width, 1)
    graph = warp_program(shape)
    feature = extremes(rng, graph.tensors["feature"])
    offset = random_values(rng, graph.tensors["offset"])
    offset[:, :, ::3] = rng.choice([-32768, 32767], offset[:, :, ::3].shape)
    offset[..., 1] //= 100
    found = run(graph, {"feature": feature, "offset": offset})["y"]
    expected = slow.warp(feature, offset, Fraction(1, 256), offset_fraction_bits(1, width))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bits", range(9))
def test_every_number_of_fraction_bits(bits):
    rng = np.random.default_rng(bits)
    feature = rng.integers(-128, 128, (1, 5, 4, 3))
    steps = rng.integers(-3 << bits, (3 << bits) + 1, (1, 5, 4, 2))
    expected = slow.warp(feature, steps, Fraction(1, 1 << bits), bits)
    np.testing.assert_array_equal(warp(feature, steps, bits), expected)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 40), st.integers(1, 40), st.integers(1, 3)),
    st.sampled_from(["int8", "int16"]),
)
def test_warp_without_offset_is_the_identity(shape, dtype):
    graph = warp_program(shape, dtype)
    feature = extremes(np.random.default_rng(0), graph.tensors["feature"])
    offset = np.zeros((*shape[:3], 2), np.int64)
    found = run(graph, {"feature": feature, "offset": offset})["y"]
    np.testing.assert_array_equal(found, feature)


def test_a_whole_pixel_moves_the_map_and_zeros_come_in():
    feature = np.arange(1, 13).reshape(1, 3, 4, 1)
    offset = np.zeros((1, 3, 4, 2), np.int64)
    offset[..., 0] = 256
    found = run(warp_program((1, 3, 4, 1)), {"feature": feature, "offset": offset})["y"]
    assert found[0, :, :, 0].tolist() == [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]]


@pytest.mark.parametrize("types", [("int8", "int8"), ("int16", "int8"), ("int32", "int32")])
@pytest.mark.parametrize("vector", [False, True])
def test_rescale(types, vector):
    rng = np.random.default_rng(6)
    shape = (2, 1, 3, 3)
    low, high = LIMITS[types[1]]
    attributes = {"multiplier": 11_111_111, "shift": 25, "lo": low, "hi": high}
    if vector:
        attributes |= {"multiplier": np.array([ONE, 0, 2 * ONE]), "shift": np.array([24, 1, 47])}
    graph = one_node(
        "rescale", [tensor("x", shape, types[0])], tensor("y", shape, types[1]), attributes
    )
    for choose in (random_values, extremes):
        x = choose(rng, graph.tensors["x"])
        expected = slow.requantized(x, attributes)
        np.testing.assert_array_equal(run(graph, {"x": x})["y"], expected)


def test_a_relu_alone_changes_no_positive_value():
    x = np.arange(-128, 128).reshape(1, 1, 256, 1)
    attributes = {"multiplier": ONE, "shift": 23, "lo": 0, "hi": 127}
    graph = one_node("rescale", [tensor("x", x.shape)], tensor("y", x.shape), attributes)
    np.testing.assert_array_equal(run(graph, {"x": x})["y"], np.maximum(x, 0))


@pytest.mark.parametrize("types", [("int8", "int8"), ("int8", "int16"), ("int32", "int16")])
def test_add(types):
    rng = np.random.default_rng(7)
    shape = (1, 3, 5, 3)
    attributes = {"multiplier_a": 9_000_001, "multiplier_b": 3_000_007, "shift": 24}
    attributes |= {"lo": -32768, "hi": 32767}
    a, b = tensor("a", shape, types[0]), tensor("b", shape, types[1])
    graph = one_node("add", [a, b], tensor("y", shape, "int16"), attributes)
    for choose in (random_values, extremes):
        inputs = {name: choose(rng, graph.tensors[name]) for name in "ab"}
        found = run(graph, inputs)["y"]
        for place in np.ndindex(shape):
            value = int(inputs["a"][place]) * 9_000_001 + int(inputs["b"][place]) * 3_000_007
            assert found[place] == slow.rounded(Fraction(value, 2**24), -32768, 32767)


def test_a_sum_is_not_rounded_twice():
    # 0.5 + 0.5 is 1; rounded one by one it would be 2.
    attributes = {"multiplier_a": ONE, "multiplier_b": ONE, "shift": 24, "lo": -128, "hi": 127}
    a, b, y = (tensor(name, (1, 1, 1, 1)) for name in "aby")
    one = np.ones((1, 1, 1, 1), np.int8)
    assert run(one_node("add", [a, b], y, attributes), {"a": one, "b": one})["y"].item() == 1


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_concat_and_slice_move_integers_only(axis):
    rng = np.random.default_rng(8)
    sizes = (1, 3, 2)
    shapes = [with_side((2, 2, 3, 5), axis, n) for n in sizes]
    whole = with_side((2, 2, 3, 5), axis, 6)
    parts = [tensor(f"x{i}", shape) for i, shape in enumerate(shapes)]
    joined = one_node("concat", parts, tensor("y", whole), {"axis": axis})
    inputs = {part.name: extremes(rng, part) for part in parts}
    found = run(joined, inputs)["y"]
    np.testing.assert_array_equal(found, np.concatenate(list(inputs.values()), axis))
    attributes = {"axis": axis, "start": 1, "stop": 4}
    part = one_node("slice", [tensor("x", whole)], tensor("y", shapes[1]), attributes)
    np.testing.assert_array_equal(run(part, {"x": found})["y"], inputs["x1"])
