"""Halos against the definition of the operators, and what tilings promise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import ceil

import numpy as np
import pytest

from horizon.compiler.geometry import Box, box_of, instruction_fields
from horizon.compiler.layout import Place, dense_buffer
from horizon.compiler.measures import Balance, FewestBytes, FewestTiles
from horizon.compiler.schedule import tile_boxes
from horizon.compiler.tasks import Operand, Task
from horizon.compiler.tile_shapes import TileShapes
from horizon.compiler.tiling import (
    DOUBLE,
    INNER_CHANNELS,
    OUTER_CHANNELS,
    SINGLE,
    SINGLE_WEIGHT,
    Measure,
    Tiling,
    Tilings,
)
from horizon.hbir import Node
from horizon.hbm.records import DataType
from tests.horizon.hbir.programs import ONE, tensor

RATIO = {"multiplier": ONE, "shift": 33, "lo": 0, "hi": 127}
INT8 = dict.fromkeys(("out", "a", "b"), DataType.int8)
STREAMED = frozenset({"out", "a", "weight"})


def operand(name: str, *shape: int) -> Operand:
    n, y, x, c = shape
    return Operand(name, (n, y, x, c), Place(name))


def conv(
    out: tuple, a: tuple, kernel: int, stride: int, pad: int, dilation: int = 1, back: bool = False
) -> Task:
    values = {
        "weight": np.ones((out[3], kernel, kernel, a[3]), np.int8),
        "stride": (stride, stride),
        "padding": (pad, pad),
        "dilation": (dilation, dilation),
    }
    op = "conv_transpose2d" if back else "conv2d"
    node = Node(op, "layer", ("a",), "out", values)
    return Task("layer", operand("out", *out), operand("a", *a), node=node)


def tilings_of(task: Task, measure: Measure, double: bool) -> Tilings:
    infos = [tensor(operand.tensor, operand.shape) for operand in task.operands.values()]
    buffers = {info.name: dense_buffer(info) for info in infos}
    shapes = TileShapes(task, INT8, buffers, STREAMED, 64)
    ways = (DOUBLE, SINGLE_WEIGHT, SINGLE) if double else (SINGLE,)
    orders = (OUTER_CHANNELS,) if measure == FewestTiles() else (OUTER_CHANNELS, INNER_CHANNELS)
    return Tilings([shapes.loops(order, way) for order in orders for way in ways], measure)


def pad_of(task: Task, **boxes: Box) -> tuple[int, int]:
    return instruction_fields(task, boxes)["pad"]


def spans(size: int) -> Iterator[tuple[int, int]]:
    return ((start, stop) for start in range(size) for stop in range(start + 1, size + 1))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 3])
def test_convolution_gets_the_rows_it_reads_and_no_more(
    kernel: int, stride: int, dilation: int
) -> None:
    side, pad = 9, 4
    size = (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    task = conv((1, size, 1, 1), (1, side, 1, 1), kernel, stride, pad, dilation)
    for start, stop in spans(size):
        out = Box((0, start, 0, 0), (1, stop - start, 1, 1))
        box = box_of(task, "a", out)
        taps = product(range(start, stop), range(kernel))
        rows = {y * stride - pad + k * dilation for y, k in taps}
        first, count = box.start[1], box.shape[1]
        assert 0 <= first < first + count <= side
        inside = rows & set(range(side))
        assert inside <= set(range(first, first + count))
        if inside:
            assert (first, first + count) == (max(min(rows), 0), min(max(rows) + 1, side))
        # Row y of the tile and tap k is at this place of the part.
        local = pad_of(task, out=out, a=box)[0]
        assert local == pad - start * stride + first


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_transposed_convolution_gets_the_rows_it_reads(kernel: int, stride: int, pad: int) -> None:
    side = 6
    size = (side - 1) * stride - 2 * pad + kernel
    task = conv((1, size, 1, 1), (1, side, 1, 1), kernel, stride, pad, back=True)
    for start, stop in spans(size):
        out = Box((0, start, 0, 0), (1, stop - start, 1, 1))
        box = box_of(task, "a", out)
        rows = {
            y
            for y, k in product(range(side), range(kernel))
            if start <= y * stride - pad + k < stop
        }
        first, count = box.start[1], box.shape[1]
        assert 0 <= first < first + count <= side
        if rows:
            assert (first, count) == (min(rows), max(rows) - min(rows) + 1)
        assert pad_of(task, out=out, a=box)[0] == pad + start - first * stride


def test_correlation_gets_a_halo() -> None:
    node = Node("correlation", "layer", ("a", "b"), "out", {"max_displacement": 2, **RATIO})
    shape = (1, 9, 7, 5)
    out, a, b = operand("out", 1, 9, 7, 25), operand("a", *shape), operand("b", *shape)
    task = Task("layer", out, a, b, node)
    tile = Box((0, 1, 4, 0), (1, 3, 3, 25))
    assert box_of(task, "a", tile) == Box((0, 1, 4, 0), (1, 3, 3, 5))
    box = box_of(task, "b", tile)
    assert box == Box((0, 0, 2, 0), (1, 6, 5, 5))
    assert pad_of(task, out=tile, a=box, b=box) == (1, 0)


def test_warp_gets_the_whole_map_of_its_channels() -> None:
    values = {"offset_multiplier": ONE, "offset_shift": 33}
    node = Node("warp", "layer", ("a", "b"), "out", values)
    out, a, b = operand("out", 2, 9, 7, 5), operand("a", 2, 9, 7, 5), operand("b", 2, 9, 7, 2)
    task = Task("layer", out, a, b, node)
    tile = Box((1, 3, 0, 2), (1, 2, 7, 3))
    assert box_of(task, "a", tile) == Box((1, 0, 0, 2), (1, 9, 7, 3))
    assert box_of(task, "b", tile) == Box((1, 3, 0, 0), (1, 2, 7, 2))


def moved_bytes(task: Task, tiling: Tiling) -> int:
    """Bytes that a walk over the tiles loads and stores, part by part."""
    total, held = 0, {}
    for out in tile_boxes(task.out.shape, tiling):
        for name in tiling.slots:
            if name == "weight":
                _, kh, kw, inputs = task.node.attributes["weight"].shape  # type: ignore[union-attr]
                box = Box((0, 0, 0, out.start[3]), (ceil(out.shape[3] / 16), kh, kw, 16))
                size = box.shape[0] * kh * kw * ceil(inputs / 4) * 4 * 16
            else:
                box = box_of(task, name, out)
                size = int(np.prod(box.shape))
            if held.get(name) != box:
                held[name] = box
                total += size
                assert size <= tiling.slots[name][0]
    return total


MEASURES = [FewestTiles(), FewestBytes(), Balance(64, 512, (4, 8, 16))]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: type(measure).__name__)
@pytest.mark.parametrize("double", [False, True])
def test_tilings_fit_and_move_the_bytes_that_they_state(measure: Measure, double: bool) -> None:
    task = conv((2, 11, 13, 40), (2, 22, 26, 9), 3, 2, 1)
    found = tilings_of(task, measure, double)
    tilings = [found[number] for number in range(len(found))]
    sizes = [tiling.slot_bytes for tiling in tilings]
    assert sizes == sorted(sizes, reverse=True)
    assert found.smallest == sizes[-1]
    assert len(tilings) > 5
    for tiling in tilings:
        assert moved_bytes(task, tiling) == tiling.traffic
        assert tiling.shape[3] % 16 == 0 or tiling.shape[3] == 40
        counts = {count for _, count in tiling.slots.values()}
        assert counts == {1} if not double else counts <= {1, 2}
        assert found.within(tiling.slot_bytes) == tiling
        assert found.within(tiling.slot_bytes + 63) == tiling
    assert found.within(found.smallest - 1) is None


def best(task: Task, measure: Measure, double: bool, budget: int) -> Tiling:
    found = tilings_of(task, measure, double).within(budget)
    assert found is not None
    return found


def test_search_moves_fewer_bytes() -> None:
    task = conv((1, 40, 40, 64), (1, 40, 40, 64), 3, 1, 1)
    tiles, traffic = (best(task, measure, False, 40_000) for measure in MEASURES[:2])
    assert moved_bytes(task, traffic) == traffic.traffic < tiles.traffic


def test_inputs_stay_where_weights_are_many() -> None:
    """A small map with many weights: each input tile meets all weights before it goes."""
    task = conv((1, 64, 64, 128), (1, 64, 64, 8), 1, 1, 0)
    assert best(task, FewestBytes(), False, 20_000).traffic == 64 * 64 * (128 + 8) + 128 * 8
