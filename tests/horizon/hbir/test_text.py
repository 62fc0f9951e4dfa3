"""The text of a program and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from horizon.errors import InputError
from horizon.hbir import constants, parse_text, run, to_text
from tests.horizon.hbir.programs import one_node, pyramid, tensor

GRAPH = replace(pyramid(), attributes={"size_multiple": 4, "task": "flow; of two images"})


def test_a_round_trip_is_equal_and_runs_the_same():
    text, values = to_text(GRAPH), constants(GRAPH)
    again = parse_text(text, values)
    assert again == GRAPH
    assert to_text(again) == text
    image = np.random.default_rng(0).integers(-128, 128, (1, 8, 12, 6))
    np.testing.assert_array_equal(
        run(again, {"img": image})["out"], run(GRAPH, {"img": image})["out"]
    )


def test_the_text_can_be_read_by_people():
    lines = to_text(GRAPH).splitlines()
    assert lines[:5] == [
        'program "pyramid" version 1',
        "attribute size_multiple 4",
        'attribute task "flow; of two images"',
        "input img: int8 (1, 8, 12, 6) scale 0.0078125",
        "output out",
    ]
    assert len(lines) == 6 + len(GRAPH.nodes)
    down = next(line for line in lines if line.startswith("conv2d down.0 (both) -> features"))
    assert "weight=int8 (5, 3, 3, 3) -127..127 sha256 " in down
    assert "stride=(2, 2); " in down
    assert "multiplier=int64 (5) [" in down
    assert any("scale 0.03125*9 0.015625*5; axis=3" in line for line in lines)


def test_only_large_arrays_are_constants():
    names = ["down.0:weight", "predict:weight", "up:weight"]
    assert sorted(constants(GRAPH)) == names


def test_a_scale_of_one_channel_and_one_for_all_channels_differ():
    graph = one_node(
        "rescale",
        [tensor("x", (1, 1, 1, 3), "int8", 0.1, 0.1, 0.1)],
        tensor("y", (1, 1, 1, 3), "int8", 1 / 3),
        {"multiplier": np.array([2**23, 0, 1]), "shift": 23, "lo": -128, "hi": 127},
    )
    again = parse_text(to_text(graph), {})
    assert again == graph
    assert again.tensors["x"].scales == (0.1, 0.1, 0.1)
    assert again.tensors["y"].scales == (1 / 3,)


def test_a_changed_constant_is_an_error():
    values = constants(GRAPH)
    weight = values["down.0:weight"].copy()
    weight[2, 1, 1, 0] ^= 1
    with pytest.raises(InputError, match=r"constant down.0:weight is .* expected"):
        parse_text(to_text(GRAPH), {**values, "down.0:weight": weight})
    with pytest.raises(InputError, match=r"constant down.0:weight is int16"):
        parse_text(to_text(GRAPH), {**values, "down.0:weight": weight.astype(np.int16)})
    turned = values["down.0:weight"].transpose(0, 2, 1, 3)
    with pytest.raises(InputError, match=r"constant down.0:weight"):
        parse_text(to_text(GRAPH), {**values, "down.0:weight": turned})


def test_a_missing_or_unknown_constant_is_an_error():
    values = constants(GRAPH)
    with pytest.raises(InputError, match="other:weight"):
        parse_text(to_text(GRAPH), {**values, "other:weight": values["up:weight"]})
    del values["up:weight"]
    with pytest.raises(InputError, match="up:weight is missing"):
        parse_text(to_text(GRAPH), values)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("version 1", "version 2", "line 1"),
        ("program", "prog", "line 1"),
        ("output out", "output", "line 5"),
        ("attribute size_multiple 4", "attribute size_multiple four", "line 2"),
        ("stride=(2, 2)", "stride=(2.0, 2)", "stride"),
        ("scale 0.0078125", "scale x", "scale"),
        ("scale 0.0078125", "scale nan", "scale"),
        ("int64 (5) [", "int64 (4) [", "multiplier"),
        ("int32 (5) [", "int32 (5) [99999999999 ", "bias"),
        ("int64 (5) [", "int65 (5) [", "multiplier"),
        ("-> features", "-> img", "img"),
        ("concat stack", "glue stack", "unknown operator"),
        ("lo=0", "lo=200", "lo 200"),
    ],
)
def test_a_damaged_text_names_the_place(old, new, match):
    text = to_text(GRAPH)
    assert old in text
    with pytest.raises(InputError, match=match):
        parse_text(text.replace(old, new), constants(GRAPH))


def test_no_text_is_an_error():
    with pytest.raises(InputError, match="line 1"):
        parse_text("", {})


@pytest.mark.parametrize("name", ["a b", "a;b", "a(b", ""])
def test_a_name_that_would_not_read_back_is_an_error(name):
    graph = replace(GRAPH, nodes=(replace(GRAPH.nodes[0], name=name), *GRAPH.nodes[1:]))
    with pytest.raises(InputError, match="cannot stand in a text"):
        to_text(graph)
