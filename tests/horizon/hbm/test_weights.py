from __future__ import annotations

import time

import numpy as np
import pytest

from horizon.errors import InputError
from horizon.hbm import (
    DataType,
    WeightLayout,
    channel_table,
    layout_for,
    pack_weights,
    packed_bytes,
    unpack_weights,
)
from horizon.hbm.format import CHANNEL

DENSE = [(1, 1, 1, 1), (16, 3, 3, 4), (17, 3, 2, 5), (33, 1, 3, 64), (2, 4, 4, 65), (15, 2, 2, 3)]
SHAPES = {
    WeightLayout.blocked: DENSE,
    WeightLayout.rows: DENSE,
    WeightLayout.depthwise: [(1, 1, 1, 1), (31, 3, 3, 1), (64, 5, 2, 1), (65, 1, 3, 1)],
}
CASES = [(shape, layout) for layout, shapes in SHAPES.items() for shape in shapes]


def _random(shape, seed=0):
    return np.random.default_rng(seed).integers(-127, 128, shape, np.int8)


def _place(layout, shape, o, y, x, i):
    """Index of a weight in the packed array, as the format's comment has it."""
    _, kh, kw, inputs = shape
    if layout is WeightLayout.depthwise:
        return ((o // 64 * kh + y) * kw + x) * 64 + o % 64 + i
    if layout is WeightLayout.rows:
        return ((o * kh + y) * kw + x) * (-(-inputs // 64) * 64) + i
    return ((((o // 16) * kh + y) * kw + x) * -(-inputs // 4) + i // 4) * 64 + o % 16 * 4 + i % 4


@pytest.mark.parametrize(("shape", "layout"), CASES)
def test_every_weight_is_at_its_place_and_the_rest_is_0(shape, layout):
    weight = _random(shape)
    packed = pack_weights(weight, layout)
    assert packed.dtype == np.int8
    assert packed.shape == (packed_bytes(shape, layout),)
    expected = np.zeros_like(packed)
    for index in np.ndindex(shape):
        expected[_place(layout, shape, *index)] = weight[index]
    np.testing.assert_array_equal(packed, expected)


@pytest.mark.parametrize(("shape", "layout"), CASES)
def test_unpacking_gives_the_weights_back(shape, layout):
    weight = _random(shape, 1)
    packed = pack_weights(weight, layout)
    packed.flags.writeable = False
    np.testing.assert_array_equal(unpack_weights(packed, shape, layout), weight)


@pytest.mark.parametrize("layout", WeightLayout)
def test_packed_sizes_are_multiples_of_64(layout):
    assert all(packed_bytes(shape, layout) % 64 == 0 for shape in SHAPES[layout])


@pytest.mark.parametrize("layout", WeightLayout)
def test_weights_of_a_whole_network_are_packed_in_a_second(layout):
    inputs = 1 if layout is WeightLayout.depthwise else 1555
    weight = np.ones((1000, 3, 3, inputs), np.int8)
    start = time.process_time()
    pack_weights(weight, layout)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "weight",
    [
        np.full((1, 1, 1, 1), -128, np.int8),
        np.ones((1, 1, 1, 1), np.int16),
        np.ones((1, 1, 1), np.int8),
        np.ones((0, 1, 1, 1), np.int8),
    ],
)
def test_what_is_no_weight_is_refused(weight):
    with pytest.raises(InputError, match="expected"):
        pack_weights(weight, WeightLayout.blocked)


@pytest.mark.parametrize("layout", WeightLayout)
def test_packed_bytes_of_another_size_or_with_something_between_are_refused(layout):
    depthwise = layout is WeightLayout.depthwise
    shape, beyond = ((15, 1, 1, 1), (15, 0)) if depthwise else ((15, 1, 1, 3), (0, 3))
    packed = pack_weights(_random(shape), layout)
    with pytest.raises(InputError, match="expected"):
        unpack_weights(packed[1:], shape, layout)
    packed[_place(layout, shape, beyond[0], 0, 0, beyond[1])] = 1
    with pytest.raises(InputError, match="not 0"):
        unpack_weights(packed, shape, layout)


def test_depthwise_weights_have_one_input():
    with pytest.raises(InputError, match=r"of 2 inputs; expected \(O, kh, kw, 1\)"):
        pack_weights(np.ones((4, 3, 3, 2), np.int8), WeightLayout.depthwise)


def test_the_layout_of_a_convolution():
    int8, int16 = DataType.int8, DataType.int16
    assert layout_for(4, int8) is WeightLayout.rows
    assert layout_for(4, int16) is layout_for(5, int8) is WeightLayout.blocked
    assert layout_for(4, int16, True) is layout_for(99, int8, True) is WeightLayout.depthwise


def test_a_channel_table_has_an_entry_per_channel():
    data = channel_table(np.array([1, -2]), 2**24, np.array([1, 47]), np.array([0, 9]))
    assert _entries(data) == [(1, 2**24, 0, 1, 0, 0), (-2, 2**24, 9, 47, 0, 0)]
    assert _entries(channel_table(3, 4, 5)) == [(3, 4, 0, 5, 0, 0)]


def test_a_channel_table_has_the_multipliers_of_negative_values():
    data = channel_table(0, 8, 1, 9, np.array([-1, 2]), 3)
    assert _entries(data) == [(0, 8, 9, 1, -1, 3), (0, 8, 9, 1, 2, 3)]


def _entries(data: bytes) -> list[tuple[int, ...]]:
    """The entries without their counts and reserved fields, which are 0."""
    rows = np.frombuffer(data, CHANNEL).tolist()
    assert all(row[-2:] == (0, 0) for row in rows)
    return [tuple(row[:-2]) for row in rows]


def test_an_entry_of_an_average_pooling_has_a_number_of_elements():
    table = np.frombuffer(channel_table(0, 5, [7, 8], count=np.array([4, 9])), CHANNEL)
    assert table["count"].tolist() == [4, 9]
    assert table["shift"].tolist() == [7, 8]


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, np.array([0.5])])
def test_what_does_not_fit_a_channel_is_refused(value):
    with pytest.raises(InputError, match="bias"):
        channel_table(np.asarray(value), 1, 1)
