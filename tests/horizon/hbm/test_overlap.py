from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.hbm import DataType, Space, View
from horizon.hbm.overlap import overlap

TYPES = [DataType.int8, DataType.int16, DataType.int32]


def _bytes(view: View) -> set[int]:
    steps = [
        [index * stride for index in range(side)]
        for side, stride in zip(view.shape, view.strides, strict=True)
    ]
    size = view.dtype.size
    return {view.offset + sum(place) + byte for place in product(*steps) for byte in range(size)}


@st.composite
def slices(draw):
    """Views of one NHWC buffer: part of its rows, columns and channels."""
    h, w, c = 5, 4, 12
    shape, start = [1], []
    for side in (h, w, c // 4):
        begin = draw(st.integers(0, side - 1))
        start.append(begin)
        shape.append(draw(st.integers(1, side - begin)))
    dtype = draw(st.sampled_from(TYPES))
    shape[3] = shape[3] * 4 // dtype.size
    offset = (start[0] * w + start[1]) * c + start[2] * 4
    return View(Space.sram, dtype, tuple(shape), (h * w * c, w * c, c, dtype.size), offset)


@st.composite
def boxes(draw):
    """Views with any strides."""
    dtype = draw(st.sampled_from(TYPES))
    sides = st.integers(1, 4)
    steps = st.integers(0, 12).map(lambda step: step * dtype.size)
    shape, strides = (tuple(draw(kind) for _ in range(4)) for kind in (sides, steps))
    return View(Space.sram, dtype, shape, strides, draw(st.integers(0, 40)) * dtype.size)


def test_columns_may_be_as_close_as_channels():
    a = View(Space.sram, DataType.int32, (1, 1, 4, 2), (8, 112, 4, 4), 24)
    b = View(Space.sram, DataType.int32, (1, 1, 4, 2), (92, 36, 4, 44), 36)
    assert _bytes(a) & _bytes(b)
    assert overlap(a, b)
    assert overlap(b, a)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(slices(), slices())
def test_slices_of_one_buffer_are_told_apart_exactly(a, b):
    assert overlap(a, b) == bool(_bytes(a) & _bytes(b))


@settings(deadline=None, max_examples=500, derandomize=True)
@given(boxes(), boxes())
def test_no_common_byte_is_ever_missed(a, b):
    if _bytes(a) & _bytes(b):
        assert overlap(a, b)
        assert overlap(b, a)


@pytest.mark.parametrize("space", [Space.ddr, Space.sram])
def test_memories_are_apart(space):
    view = View(space, DataType.int8, (1, 1, 1, 8), (8, 8, 8, 1), 0)
    other = View(Space.sram, DataType.int8, (1, 1, 1, 8), (8, 8, 8, 1), 0)
    assert overlap(view, other) == (space is Space.sram)
