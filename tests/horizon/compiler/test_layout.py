"""Concats and slices without copies, and the copies that are left."""

from __future__ import annotations

from horizon.compiler.layout import Place, PlacedGraph, dense_buffer, place_tensors
from horizon.compiler.tasks import Task, list_tasks
from horizon.hbir import Graph, Node, verify
from horizon.hbm.records import DataType, Space
from tests.horizon.compiler.test_passes import clamp, cut, half, join, program
from tests.horizon.hbir.programs import pyramid, tensor


def place(graph: Graph, in_place: bool = True, stage: bool = True) -> PlacedGraph:
    return place_tensors(graph, in_place, stage, DataType.uint8)


def copies(placed: PlacedGraph) -> list[tuple[str, str]]:
    """What is copied for which layer, what goes to and from the caller aside."""
    return [
        (task.layer, task.a.tensor)
        for task in list_tasks(placed)
        if task.is_copy and not _of_caller(placed, task)
    ]


def _of_caller(placed: PlacedGraph, task: Task) -> bool:
    buffers = [placed.buffers[operand.place.buffer] for operand in (task.a, task.out)]
    return any(buffer.space is not Space.none for buffer in buffers)


def dense_block() -> Graph:
    """Every concat is [new, previous], as in a decoder with dense links."""
    nodes = [half("x", "a"), join("ax", "a", "x2"), half("ax", "b")]
    nodes.insert(0, half("x", "x2"))
    nodes += [half("b", "b2"), join("bax", "b2", "ax"), half("bax", "c"), join("cbax", "c", "bax")]
    nodes.append(half("cbax", "y"))
    channels = {"x": 3, "x2": 3, "a": 3, "ax": 6, "b": 6, "b2": 6, "bax": 12, "c": 12}
    return program(channels | {"cbax": 24, "y": 24}, nodes, "y")


def test_a_dense_block_is_one_buffer() -> None:
    placed = place(dense_block())
    assert copies(placed) == []
    expected = {"cbax": 0, "c": 0, "bax": 12, "b2": 12, "ax": 18, "a": 18, "x2": 21}
    assert {n: p.channel for n, p in placed.places.items() if p.buffer == "cbax"} == expected
    assert set(placed.buffers) == {"input x", "output y", "cbax", "x", "b"}


def test_without_in_place_every_tensor_has_a_buffer() -> None:
    graph = dense_block()
    placed = place(graph, in_place=False)
    assert all(p.channel == 0 and p.batch == 0 for p in placed.places.values())
    assert len({p.buffer for p in placed.places.values()}) == len(graph.tensors)
    assert copies(placed) == [
        ("ax", "a"),
        ("ax", "x2"),
        ("bax", "b2"),
        ("bax", "ax"),
        ("cbax", "c"),
        ("cbax", "bax"),
    ]


def test_a_tensor_of_two_concats_is_copied_into_the_first() -> None:
    nodes = [half("x", "a"), half("x", "b"), join("ab", "a", "b"), join("ba", "b", "a", "a")]
    graph = program({"x": 2, "a": 2, "b": 2, "ab": 4, "ba": 6}, nodes, "ab", "ba")
    placed = place(graph)
    assert placed.places["b"] == Place("ba")
    assert placed.places["a"] == Place("ba", 0, 2)
    assert copies(placed) == [("ab", "a"), ("ab", "b"), ("ba", "a")]


def test_slices_are_views_and_are_copied_into_concats() -> None:
    nodes = [half("x", "a"), cut("a", "s", 1, 3), half("s", "b"), join("sb", "s", "b")]
    nodes.append(half("sb", "y"))
    graph = program({"x": 4, "a": 4, "s": 2, "b": 2, "sb": 4, "y": 4}, nodes, "y")
    placed = place(graph)
    assert placed.places["s"] == Place("a", 0, 1)
    assert copies(placed) == [("sb", "s")]


def test_images_are_loaded_into_their_batch() -> None:
    placed = place(pyramid())
    assert placed.staged == ()
    loads = [task for task in list_tasks(placed) if task.layer == "stack"]
    assert [(t.a.place, t.out.place) for t in loads] == [
        (Place("input img", 0, 0), Place("both", 0, 0)),
        (Place("input img", 0, 3), Place("both", 1, 0)),
    ]
    assert [(t.a.tensor, t.out.tensor, t.out.start) for t in loads] == [
        ("one", "both", (0, 0, 0, 0)),
        ("two", "both", (1, 0, 0, 0)),
    ]
    assert copies(placed) == [("cat", "f1")]
    assert placed.places["f2"] == Place("features", 1, 0)
    assert placed.places["cost"] == Place("dense", 0, 0)


def test_inputs_of_layers_are_staged_if_wanted() -> None:
    graph = program({"x": 4, "s": 2, "y": 2}, [cut("x", "s", 2, 4), half("s", "y")], "y")
    placed = place(graph)
    assert placed.staged == ("x",)
    assert placed.places["s"] == Place("x", 0, 2)
    assert list_tasks(placed)[0].out.place == Place("x")
    direct = place(graph, stage=False)
    assert direct.staged == ()
    assert direct.places["s"] == Place("input x", 0, 2)


def test_outputs_are_stored_from_where_they_are_needed() -> None:
    nodes = [half("x", "y"), clamp("y", "z", 0), cut("z", "s", 0, 2)]
    placed = place(program({"x": 4, "y": 4, "z": 4, "s": 2}, nodes, "y", "s", "x"))
    assert placed.places["y"] == Place("y")
    stored = [t.out.place.buffer for t in list_tasks(placed) if t.is_copy]
    assert stored == ["x", "output x", "output y", "output s"]
    alone = place(program({"x": 4, "y": 4}, [half("x", "y")], "y"))
    assert alone.places["y"] == Place("output y")


def test_nested_concats_of_batch_and_channels() -> None:
    shapes = {"x": (1, 3, 4, 2), "a": (1, 3, 4, 2), "b": (1, 3, 4, 2), "ab": (1, 3, 4, 4)}
    shapes |= {"c": (1, 3, 4, 4), "all": (2, 3, 4, 4), "y": (2, 3, 4, 4)}
    nodes = (
        half("x", "a"),
        clamp("x", "b", 0),
        join("ab", "a", "b"),
        half("ab", "c"),
        Node("concat", "all", ("c", "ab"), "all", {"axis": 0}),
        half("all", "y"),
    )
    tensors = {name: tensor(name, shape) for name, shape in shapes.items()}
    graph = Graph("p", tensors, nodes, ("x",), ("y",), {})
    verify(graph)
    placed = place(graph)
    assert placed.places["ab"] == Place("all", 1, 0)
    assert placed.places["b"] == Place("all", 1, 2)
    assert copies(placed) == []


def test_pixels_start_at_multiples_of_4_or_16_bytes() -> None:
    assert dense_buffer(tensor("t", (2, 3, 5, 7))).strides == (120, 40, 8, 1)
    assert dense_buffer(tensor("t", (2, 3, 5, 129))).strides == (2160, 720, 144, 1)
    assert dense_buffer(tensor("t", (1, 2, 2, 3), "int16")).strides == (32, 16, 8, 2)
    assert dense_buffer(tensor("t", (1, 2, 2, 3), "int32")).nbytes == 48
