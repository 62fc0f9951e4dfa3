"""Resizing against torch, and its windows, exports and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, parse_text, resized, run, to_text, verify
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from horizon.hbir.operators import OPERATORS
from tests.horizon.hbir.programs import extremes, one_node, random_values, tensor

SAME = {"up": (1, 1), "down": (1, 1), "bilinear": 0, "align_corners": 0, "exact": 0}
MODES = {
    "nearest": ({}, {"mode": "nearest"}),
    "nearest-exact": ({"exact": 1}, {"mode": "nearest-exact"}),
    "bilinear": ({"bilinear": 1}, {"mode": "bilinear", "align_corners": False}),
    "corners": (
        {"bilinear": 1, "align_corners": 1},
        {"mode": "bilinear", "align_corners": True},
    ),
}
FACTORS = [((2, 2), (1, 1)), ((4, 4), (1, 1)), ((3, 5), (1, 1)), ((1, 1), (2, 2)), ((1, 1), (3, 4))]
FACTORS += [((2, 1), (1, 3)), ((1, 1), (1, 1))]


def program(shape: Any, dtype: str = "int8", **values: Any) -> Graph:
    attributes = SAME | values
    size = [
        side * up // down
        for side, up, down in zip(shape[1:3], attributes["up"], attributes["down"], strict=True)
    ]
    x, y = tensor("x", shape, dtype), tensor("y", (shape[0], *size, shape[3]), dtype)
    graph = one_node("resize", [x], y, attributes)
    verify(graph)
    return graph


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("up", "down"), FACTORS)
@pytest.mark.parametrize("size", [(6, 12), (7, 5), (5, 9)])
def test_the_places_are_torch_s(mode: str, up: Any, down: Any, size: Any) -> None:
    own, torch_s = MODES[mode]
    graph = program((2, *size, 3), "int16", up=up, down=down, **own)
    x = random_values(np.random.default_rng(0), graph.tensors["x"])
    found = run(graph, {"x": x})["y"]
    factors = [u / d for u, d in zip(up, down, strict=True)]
    values = torch.from_numpy(x).permute(0, 3, 1, 2).double()
    expected = functional.interpolate(values, scale_factor=factors, **torch_s)
    difference = np.abs(found - expected.permute(0, 2, 3, 1).numpy()).max()
    if not own.get("bilinear"):
        assert difference == 0
    elif mode == "bilinear" and {*up, *down} <= {1, 2, 4}:
        assert difference <= 0.5  # places are exact, one rounding
    else:
        # A place is off by at most 2^-9 pixels in each direction.
        assert difference <= 0.5 + 2 * 2**-9 * (int(x.max()) - int(x.min()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("up", "down"), FACTORS)
def test_windows_have_what_is_read(mode: str, up: Any, down: Any) -> None:
    graph = program((1, 7, 13, 1), up=up, down=down, **MODES[mode][0])
    (node,) = graph.nodes
    operator = OPERATORS["resize"]
    x = np.arange(7 * 13).reshape(1, 7, 13, 1)
    whole = operator.run(node, [x])
    shapes = [graph.tensors["x"].shape]
    for axis in (1, 2):
        side = whole.shape[axis]
        for start in range(side):
            for stop in range(start + 1, side + 1):
                window = operator.window(node, shapes, 0, axis, (start, stop))
                assert window is not None
                begin, end = window
                assert 0 <= begin < end <= x.shape[axis]
                other = np.full_like(x, 99)  # what lies outside may be anything
                inside = (slice(None),) * axis + (slice(begin, end),)
                other[inside] = x[inside]
                made = (slice(None),) * axis + (slice(start, stop),)
                assert (operator.run(node, [other])[made] == whole[made]).all()
    starts = np.arange(whole.shape[1])
    window = operator.window(node, shapes, 0, 1, (starts, starts + 1))
    assert window is not None
    singles = [operator.window(node, shapes, 0, 1, (s, s + 1)) for s in starts.tolist()]
    assert list(zip(*(part.tolist() for part in window), strict=True)) == singles


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("up", "down"), FACTORS)
def test_exports(dtype: str, mode: str, up: Any, down: Any, tmp_path: Any) -> None:
    graph = program((2, 7, 9, 3), dtype, up=up, down=down, **MODES[mode][0])
    export_integer(graph, tmp_path / "i.onnx")
    for integers in check_integer(tmp_path / "i.onnx", graph, np.random.default_rng(1)):
        assert integers.differing == 0
    export_qdq(graph, tmp_path / "q.onnx")
    steps = 1.01 if dtype == "int8" else 1 + 2 * 2**-9 * 2**16
    for found in check_qdq(tmp_path / "q.onnx", graph, np.random.default_rng(1)):
        assert found.largest_steps <= (steps if "bilinear" in MODES[mode][0] else 0.5)
    assert parse_text(to_text(graph), {}).nodes == graph.nodes


def test_extremes_do_not_overflow() -> None:
    graph = program((1, 9, 9, 2), "int16", up=(8, 8), bilinear=1)
    x = extremes(np.random.default_rng(2), graph.tensors["x"])
    y = run(graph, {"x": x})["y"]
    assert (y.min(), y.max()) == (-32768, 32767)


def test_another_size_keeps_the_factor() -> None:
    graph = program((1, 4, 6, 2), up=(2, 2), bilinear=1, align_corners=1)
    assert resized(graph, 2, 10, 8).tensors["y"].shape == (2, 20, 16, 2)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"up": (2, 2), "down": (2, 2)}, "factors 2 up and 2 down"),
        ({"up": (0, 1)}, "up \\(0, 1\\)"),
        ({"down": (9, 1)}, "output of size"),
        ({"bilinear": 2}, "bilinear 2"),
        ({"align_corners": 1}, "align_corners 1 with bilinear 0"),
        ({"bilinear": 1, "exact": 1}, "exact 1 with bilinear 1"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], found: str) -> None:
    graph = program((1, 4, 4, 2))
    (node,) = graph.nodes
    with pytest.raises(InputError, match=found):
        verify(replace(graph, nodes=(replace(node, attributes=SAME | changed),)))
