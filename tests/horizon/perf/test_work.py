"""Products, taps and contiguous runs, counted by hand and by trying every place."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from horizon.hbm.records import Opcode, Space
from horizon.perf.work import burst_bytes, phases, products, runs
from tests.horizon.perf.examples import conv, instruction, load, view


@pytest.mark.parametrize(
    ("shape", "dtype", "strides", "expected"),
    [
        ((2, 3, 4, 5), "int8", None, (120, 1)),
        ((2, 3, 4, 5), "int32", None, (480, 1)),
        # 4 of 9 columns of a map: its rows are apart.
        ((1, 3, 4, 5), "int8", (135, 45, 5, 1), (20, 3)),
        # Rows of the whole width, of two images of 9 rows.
        ((2, 3, 4, 5), "int8", (180, 20, 5, 1), (60, 2)),
        # 5 of 32 channels: every pixel for itself.
        ((2, 3, 4, 5), "int8", (384, 128, 32, 1), (5, 24)),
        # An NCHW image: all of it, some rows of it, some columns of it.
        ((2, 3, 4, 6), "int8", (72, 4, 1, 12), (144, 1)),
        ((2, 3, 4, 6), "int16", (960, 8, 2, 160), (24, 12)),
        ((2, 3, 4, 6), "int8", (960, 16, 1, 160), (4, 36)),
        # Every second element: each is a run.
        ((1, 1, 4, 5), "int16", (80, 80, 20, 4), (2, 20)),
        # Axes of one place have no stride that matters.
        ((1, 1, 4, 5), "int8", (7, 9, 5, 1), (20, 1)),
        ((1, 1, 1, 1), "int32", (7, 9, 5, 1), (4, 1)),
        # The same row again and again.
        ((1, 3, 4, 5), "int8", (0, 0, 5, 1), (20, 3)),
    ],
)
def test_runs_are_what_lies_together_in_any_order_of_the_axes(shape, dtype, strides, expected):
    assert runs(view(shape, dtype, strides=strides)) == expected


@pytest.mark.parametrize("seed", range(20))
def test_runs_hold_all_elements_and_do_not_touch(seed):
    """Against the addresses of all elements of a random box of a dense array."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(4)
    outer = rng.integers(1, 5, 4)
    shape = [int(rng.integers(1, side + 1)) if rng.random() < 0.5 else int(side) for side in outer]
    size = int(rng.choice((1, 2, 4)))
    strides = np.zeros(4, int)
    step = size
    for axis in order:
        strides[axis] = step
        step *= outer[axis]
    dtype = {1: "int8", 2: "int16", 4: "int32"}[size]
    run, count = runs(view(tuple(shape), dtype, strides=tuple(int(s) for s in strides)))
    places = product(*(range(side) for side in shape))
    starts = {sum(p * s for p, s in zip(place, strides, strict=True)) for place in places}
    used = {start + byte for start in starts for byte in range(size)}
    assert run * count == len(used)
    # A box's runs are equally long, so there is one for each byte with nothing before it.
    assert count == sum(byte - 1 not in used for byte in used)


def test_bursts_of_every_side_that_is_not_sram():
    # 5 of 32 channels of 24 pixels: 24 bursts. Dense: 120 bytes are 4 bursts of 32.
    ddr = view((2, 3, 4, 5), space=Space.ddr, strides=(384, 128, 32, 1))
    image = view((2, 3, 4, 5), space=Space.input)
    inside = view((2, 3, 4, 5), strides=(384, 128, 32, 1))
    assert burst_bytes(instruction(Opcode.load, inside, ddr), 32) == 24 * 32
    assert burst_bytes(instruction(Opcode.load, inside, image), 32) == 128
    assert burst_bytes(instruction(Opcode.load, ddr, image), 32) == 24 * 32 + 128
    constant = view((1, 1, 1, 33), space=Space.constant)
    assert burst_bytes(instruction(Opcode.load, view((1, 1, 1, 33)), constant), 32) == 64
    output = view((1, 1, 1, 33), space=Space.output)
    assert burst_bytes(instruction(Opcode.store, output, view((1, 1, 1, 33))), 32) == 64


def test_products():
    assert products(conv((2, 3, 10, 20), 17, (3, 5))) == 2 * 3 * 10 * 20 * 17 * 15
    # 4 x 4, stride 2: every pixel of the output has 2 x 2 taps.
    up = conv((1, 6, 10, 2), 17, (4, 4), transposed=True, stride=(2, 2), pad=(1, 1))
    assert products(up) == 60 * 2 * 17 * 4
    a = view((1, 3, 10, 17))
    assert products(instruction(Opcode.correlation, view((1, 3, 10, 25)), a, b=a)) == 30 * 25 * 17
    b = view((1, 2, 3, 17))
    scores = view((1, 3, 10, 6))
    assert products(instruction(Opcode.matmul, scores, a, b=b, transposed=True)) == 30 * 6 * 17
    assert products(instruction(Opcode.matmul, view((1, 3, 10, 17)), scores, b=b)) == 30 * 6 * 17
    assert products(load(64)) == 0


@pytest.mark.parametrize("seed", range(30))
def test_taps_of_a_transposed_convolution_by_trying_every_place(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 9, 2))
    kernel, stride = (tuple(int(k) for k in rng.integers(1, 6, 2)) for _ in range(2))
    pad = tuple(int(p) for p in rng.integers(-7, 8, 2))
    up = conv((2, height, width, 3), 5, kernel, transposed=True, stride=stride, pad=pad)

    def taps(place: int, axis: int) -> int:
        # out = in * stride - pad + tap, for some in
        return sum((place + pad[axis] - tap) % stride[axis] == 0 for tap in range(kernel[axis]))

    expected = sorted(taps(y, 0) * taps(x, 1) for y in range(height) for x in range(width)) * 2
    found = [n for rows, columns, n in phases(up) for _ in range(rows * columns)]
    assert sorted(found) == sorted(expected)
    assert products(up) == sum(expected) * 3 * 5
