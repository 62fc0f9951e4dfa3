"""Each pass changes what it says and no integer; the passes together too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from horizon.compiler.passes import OPTIMISING, run_passes
from horizon.compiler.passes.flatten_concats import flatten_concats
from horizon.compiler.passes.fold_constants import fold_constants
from horizon.compiler.passes.fuse_clamps import fuse_clamps
from horizon.compiler.passes.merge_identical import merge_identical
from horizon.compiler.passes.remove_dead import remove_dead
from horizon.compiler.passes.remove_identities import remove_identities
from horizon.compiler.passes.simplify_slices import simplify_slices
from horizon.compiler.passes.split_groups import convolutions_of, split_groups
from horizon.errors import InputError
from horizon.hbir import Graph, Node, run, verify
from tests.horizon.compiler.random_graphs import random_graph, random_inputs
from tests.horizon.hbir.programs import ONE, conv_attributes, conv_program, pyramid, tensor

PIXELS = (2, 3, 4)


def program(channels: dict[str, int], nodes: list[Node], *outputs: str) -> Graph:
    """A program of int8 tensors of ``PIXELS``; the first is the input."""
    tensors = {name: tensor(name, (*PIXELS, count)) for name, count in channels.items()}
    graph = Graph("p", tensors, tuple(nodes), (next(iter(channels)),), outputs, {})
    verify(graph)
    return graph


def cut(source: str, output: str, start: int, stop: int, axis: int = 3) -> Node:
    values = {"axis": axis, "start": start, "stop": stop}
    return Node("slice", output, (source,), output, values)


def join(output: str, *sources: str) -> Node:
    return Node("concat", output, sources, output, {"axis": 3})


def clamp(source: str, output: str, lo: int = -128, hi: int = 127) -> Node:
    values = {"multiplier": ONE, "shift": 23, "lo": lo, "hi": hi}
    return Node("rescale", output, (source,), output, values)


def half(source: str, output: str, lo: int = -128, hi: int = 127) -> Node:
    values = {"multiplier": ONE, "shift": 24, "lo": lo, "hi": hi}
    return Node("rescale", output, (source,), output, values)


def check_same(before: Graph, after: Graph) -> None:
    verify(after)
    inputs = random_inputs(before, 0)
    expected = run(before, inputs)
    found = run(after, inputs)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


# (inputs, outputs, groups) and of how many convolutions how many groups share each.
GROUPED = {
    "more than 16 outputs": ((6, 51, 3), 3),
    "all in one": ((6, 6, 3), 1),
    "8 of a group": ((8, 32, 4), 2),
    "a channel multiplier": ((10, 20, 10), 2),
    "a prime number of groups": ((14, 28, 7), 7),
    "ResNeXt": ((32, 32, 8), 2),
    "one output of many inputs": ((2400, 3, 3), 3),
}


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("case", GROUPED)
def test_split_groups_leaves_no_groups(case: str, op: str) -> None:
    (inputs, outputs, groups), count = GROUPED[case]
    rng = np.random.default_rng(0)
    shape = (outputs, 1, 3, inputs // groups)
    values = conv_attributes(rng, op, shape, "int8", True, groups=groups)
    graph = conv_program(op, (2, 5, 4, inputs), values, "int8", "int8", "int16")
    after = split_groups(graph)
    expected = ["slice", "slice", op] * count + ["concat"] if count > 1 else [op]
    assert [n.op for n in after.nodes] == expected
    assert all(node.attributes.get("groups", 1) == 1 for node in after.nodes)
    assert convolutions_of(graph.nodes[0]) == count
    check_same(graph, after)


def test_split_groups_leaves_depthwise_convolutions() -> None:
    rng = np.random.default_rng(0)
    values = conv_attributes(rng, "conv2d", (6, 3, 3, 1), "int8", True, groups=6)
    graph = conv_program("conv2d", (2, 5, 4, 6), values, "int8", "int8", "int16")
    assert split_groups(graph) == graph


def test_split_groups_cuts_depthwise_convolutions_that_are_transposed() -> None:
    rng = np.random.default_rng(0)
    values = conv_attributes(rng, "conv_transpose2d", (48, 3, 3, 1), "int8", False, groups=48)
    graph = conv_program("conv_transpose2d", (1, 3, 4, 48), values, "int8", "int8", None)
    after = split_groups(graph)
    convolutions = [node for node in after.nodes if node.op == "conv_transpose2d"]
    assert [node.attributes["weight"].shape for node in convolutions] == [(16, 3, 3, 16)] * 3
    check_same(graph, after)


def test_remove_identities() -> None:
    nodes = [cut("x", "all", 0, 4), join("one", "all"), clamp("one", "same"), half("same", "y")]
    graph = program(dict.fromkeys(("x", "all", "one", "same", "y"), 4), nodes, "y")
    after = remove_identities(graph)
    assert names(after) == ["y"]
    assert after.nodes[0].inputs == ("x",)
    check_same(graph, after)


def test_identities_that_are_outputs_or_clamp_stay() -> None:
    nodes = [cut("x", "all", 0, 4), clamp("x", "positive", lo=0), half("positive", "y")]
    graph = program(dict.fromkeys(("x", "all", "positive", "y"), 4), nodes, "all", "y")
    assert names(remove_identities(graph)) == ["all", "positive", "y"]


def test_a_clamp_within_the_limits_of_the_node_before_is_an_identity() -> None:
    nodes = [half("x", "a", 0, 50), clamp("a", "same", -1, 50), half("same", "y")]
    graph = program(dict.fromkeys(("x", "a", "same", "y"), 4), nodes, "y", "a")
    after = remove_identities(graph)
    assert names(after) == ["a", "y"]
    check_same(graph, after)


def test_slices_read_where_the_integers_come_from() -> None:
    nodes = [
        half("x", "a"),
        join("ax", "a", "x"),
        cut("ax", "b", 2, 8),
        cut("b", "c", 3, 5),  # channels 1..3 of x
        cut("b", "both", 0, 3),  # of a and of x
    ]
    graph = program({"x": 4, "a": 4, "ax": 8, "b": 6, "c": 2, "both": 3}, nodes, "c", "both")
    after = simplify_slices(graph)
    found = {node.name: (node.inputs, node.attributes) for node in after.nodes}
    assert found["c"] == (("x",), {"axis": 3, "start": 1, "stop": 3})
    assert found["both"] == (("ax",), {"axis": 3, "start": 2, "stop": 5})
    check_same(graph, after)


def test_slices_along_another_axis_stay() -> None:
    tensors = {
        "x": tensor("x", (2, 3, 4, 4)),
        "a": tensor("a", (1, 3, 4, 4)),
        "y": tensor("y", (1, 3, 4, 2)),
    }
    nodes = (cut("x", "a", 1, 2, axis=0), cut("a", "y", 0, 2))
    graph = Graph("p", tensors, nodes, ("x",), ("y",), {})
    assert simplify_slices(graph) == graph


def test_a_concat_that_only_a_concat_reads_is_flattened() -> None:
    nodes = [half("x", "a"), join("ax", "a", "x"), join("y", "x", "ax"), half("y", "z")]
    graph = program({"x": 2, "a": 2, "ax": 4, "y": 6, "z": 6}, nodes, "z")
    after = flatten_concats(graph)
    assert after.nodes[2].inputs == ("x", "a", "x")
    check_same(graph, after)
    again = replace(graph, outputs=("z", "ax"))
    assert flatten_concats(again) == again  # An output is a reader too.


def test_fuse_clamps_composes_the_limits() -> None:
    nodes = [half("x", "a", -20, 30), clamp("a", "y", 0, 127), clamp("y", "z", -5, 10)]
    graph = program(dict.fromkeys("xayz", 4), nodes, "z")
    after = fuse_clamps(graph)
    assert names(after) == ["a"]
    assert after.nodes[0].output == "z"
    assert (after.nodes[0].attributes["lo"], after.nodes[0].attributes["hi"]) == (0, 10)
    check_same(graph, after)


def test_fuse_clamps_where_limits_do_not_meet() -> None:
    graph = program(
        dict.fromkeys("xay", 4), [half("x", "a", -20, -10), clamp("a", "y", 0, 127)], "y"
    )
    after = fuse_clamps(graph)
    assert (after.nodes[0].attributes["lo"], after.nodes[0].attributes["hi"]) == (0, 0)
    check_same(graph, after)


@pytest.mark.parametrize("case", ["another ratio", "two readers", "an output"])
def test_fuse_clamps_does_not_round_twice_or_hide_a_tensor(case: str) -> None:
    second = half if case == "another ratio" else clamp
    nodes = [half("x", "a"), second("a", "y", 0), half("a" if case == "two readers" else "y", "z")]
    outputs = ("y", "z", "a") if case == "an output" else ("y", "z")
    graph = program(dict.fromkeys("xayz", 4), nodes, *outputs)
    assert fuse_clamps(graph) == graph


def test_merge_identical() -> None:
    nodes = [half("x", "a"), half("x", "b"), clamp("a", "c", 0), clamp("b", "d", 0)]
    nodes += [half("d", "e"), half("x", "f", 0)]
    graph = program(dict.fromkeys("xabcdef", 4), nodes, "c", "e", "f")
    after = merge_identical(graph)
    assert names(after) == ["a", "c", "e", "f"]
    check_same(graph, after)


def test_merge_identical_compares_arrays() -> None:
    rng = np.random.default_rng(0)
    first = conv_attributes(rng, "conv2d", (4, 1, 1, 4), "int8", False, padding=(0, 0))
    second = first | {"bias": first["bias"] + np.int32(1)}
    nodes = [Node("conv2d", name, ("x",), name, v) for name, v in (("a", first), ("b", second))]
    nodes.append(join("y", "a", "b"))
    graph = program({"x": 4, "a": 4, "b": 4, "y": 8}, nodes, "y")
    assert merge_identical(graph) == graph
    same = replace(graph, nodes=(nodes[0], replace(nodes[1], attributes=first), nodes[2]))
    assert names(merge_identical(same)) == ["a", "y"]


def test_remove_dead_keeps_inputs() -> None:
    nodes = [half("x", "a"), half("a", "b"), clamp("x", "y", 0)]
    after = remove_dead(program(dict.fromkeys("xaby", 4), nodes, "y"))
    assert names(after) == ["y"]
    assert list(after.tensors) == ["x", "y"]


def test_fold_constants() -> None:
    rng = np.random.default_rng(0)
    values = conv_attributes(rng, "conv2d", (4, 1, 1, 4), "int8", True, padding=(0, 0))
    values["residual_multiplier"] = np.zeros(4, np.int64)
    sums = {"shift": 24, "lo": -128, "hi": 127}
    array = {"multiplier": np.full(4, ONE), "shift": np.full(4, 24), "lo": -128, "hi": 127}
    nodes = [
        Node("conv2d", "a", ("x", "x"), "a", values),
        Node("add", "b", ("a", "x"), "b", {"multiplier_a": ONE, "multiplier_b": 0, **sums}),
        Node("add", "c", ("b", "x"), "c", {"multiplier_a": 0, "multiplier_b": ONE, **sums}),
        Node("rescale", "d", ("c",), "d", array),
        Node("add", "y", ("b", "d"), "y", {"multiplier_a": ONE, "multiplier_b": ONE, **sums}),
    ]
    graph = program(dict.fromkeys("xabcdy", 4), nodes, "y")
    after = fold_constants(graph)
    assert [(node.op, node.inputs) for node in after.nodes] == [
        ("conv2d", ("x",)),
        ("rescale", ("a",)),
        ("rescale", ("x",)),
        ("rescale", ("c",)),
        ("add", ("b", "d")),
    ]
    assert after.nodes[3].attributes["multiplier"] == ONE
    check_same(graph, after)


def pad_node(name: str, source: str, channels: int, padding: Any, ends: Any) -> Node:
    """As padding is recorded: a depthwise convolution that copies."""
    ones = {
        "weight": np.ones((channels, 1, 1, 1), np.int8),
        "bias": np.zeros(channels, np.int32),
        "multiplier": np.full(channels, 1 << 23, np.int64),
        "shift": np.full(channels, 23, np.int64),
    }
    geometry = {"stride": (1, 1), "dilation": (1, 1), "groups": channels}
    values = ones | geometry | {"lo": -128, "hi": 127, "padding": padding, "end_padding": ends}
    return Node("conv2d", name, (source,), name, values)


def kernel_of(outputs: int, residual: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return conv_attributes(rng, "conv2d", (outputs, 3, 3, 4), "int8", residual)


def sized(shapes: dict[str, tuple[int, int, int]], nodes: list[Node], *outputs: str) -> Graph:
    tensors = {name: tensor(name, (1, *shape)) for name, shape in shapes.items()}
    graph = Graph("p", tensors, tuple(nodes), ("x",), outputs, {})
    verify(graph)
    return graph


def test_zeros_that_convolutions_read_are_their_padding() -> None:
    kernel = kernel_of(5)
    nodes = [
        pad_node("p", "x", 4, (0, 1), (2, 3)),
        Node("conv2d", "a", ("p",), "a", kernel),
        Node("conv2d", "y", ("p", "a"), "y", kernel_of(5, residual=True)),
    ]
    graph = sized({"x": (4, 6, 4), "p": (6, 10, 4), "a": (6, 10, 5), "y": (6, 10, 5)}, nodes, "y")
    after = run_passes(graph, optimise=True)
    assert [node.name for node in after.nodes] == ["a", "y"]
    assert after.nodes[0].attributes["padding"] == (1, 2)
    assert after.nodes[0].attributes["end_padding"] == (3, 4)
    check_same(graph, after)


@pytest.mark.parametrize("reader", ["output", "clamp", "both operands", "rescaled"])
def test_zeros_that_others_read_stay(reader: str) -> None:
    kernel = kernel_of(4)
    nodes = [pad_node("p", "x", 4, (1, 1), (1, 1)), Node("conv2d", "y", ("p",), "y", kernel)]
    shapes = {"x": (4, 6, 4), "p": (6, 8, 4), "y": (6, 8, 4)}
    if reader == "clamp":
        nodes[0].attributes["lo"] = 0
    elif reader == "rescaled":
        nodes[0].attributes["shift"] = np.full(4, 24, np.int64)
    elif reader == "both operands":
        nodes[1] = Node("conv2d", "y", ("p", "p"), "y", kernel_of(4, residual=True))
    graph = sized(shapes, nodes, *(("p", "y") if reader == "output" else ("y",)))
    assert [node.name for node in run_passes(graph, optimise=True).nodes] == ["p", "y"]


@pytest.mark.parametrize("seed", range(30))
def test_passes_keep_every_integer(seed: int) -> None:
    graph = random_graph(seed, 14)
    after = run_passes(graph, optimise=True)
    check_same(graph, after)
    assert run_passes(after, optimise=True) == after
    assert after.inputs == graph.inputs
    for one in (split_groups, *OPTIMISING):
        check_same(graph, one(graph))


def test_only_what_is_needed_without_optimisation() -> None:
    graph = pyramid()
    assert run_passes(graph, optimise=False) == graph


def test_invalid_programs_are_refused() -> None:
    graph = pyramid()
    with pytest.raises(InputError, match="reads both before it is made"):
        run_passes(replace(graph, nodes=(graph.nodes[3], *graph.nodes[:3])), optimise=True)
