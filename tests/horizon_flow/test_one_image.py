from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from horizon.hbir import Graph, Node, run
from horizon_flow.network_file import FOLDER, NetworkFile
from horizon_flow.one_image import one_image_at_a_time
from tests.horizon.hbir.programs import pyramid, tensor


def frames(graph: Graph, count: int) -> np.ndarray:
    _, height, width, _ = graph.tensors[graph.inputs[0]].shape
    rng = np.random.default_rng(0)
    return rng.integers(-128, 128, (count, 1, height, width, 3)).astype(np.int8)


def with_node(graph: Graph, node: Node, *, before: str, outputs: tuple[str, ...] = ()) -> Graph:
    """The graph with a node more, whose output is like its first input."""
    place = next(i for i, other in enumerate(graph.nodes) if other.name == before)
    info = replace(graph.tensors[node.inputs[0]], name=node.output)
    return replace(
        graph,
        tensors={**graph.tensors, node.output: info},
        nodes=(*graph.nodes[:place], node, *graph.nodes[place:]),
        outputs=(*graph.outputs, *outputs),
    )


@pytest.mark.parametrize(
    "graph", [pyramid(), NetworkFile.read(FOLDER / "pwcnet_lite.npz").graph()], ids=lambda g: g.name
)
def test_a_video_has_the_integers_of_its_pairs(graph):
    video = one_image_at_a_time(graph)
    assert video is not None
    (image, *previous), kept = video.inputs, video.outputs[len(graph.outputs) :]
    assert [f"previous.{name}" for name in kept] == previous
    features = {
        name: np.zeros(video.tensors[name].shape, video.tensors[name].dtype) for name in previous
    }
    images = frames(graph, 4)
    for number, second in enumerate(images):
        results = run(video, {image: second, **features})
        features = {f"previous.{name}": results[name] for name in kept}
        if number:
            pair = np.concatenate([images[number - 1], second], axis=3)
            expected = run(graph, {image: pair})
            for name in graph.outputs:
                np.testing.assert_array_equal(results[name], expected[name])


def test_networks_of_another_form_have_none():
    graph = pyramid()
    assert one_image_at_a_time(replace(graph, outputs=("out", "features"))) is None
    # An operator that sees both images, joined along the batch or with a single image.
    swap = {"axis": 0, "start": 1, "stop": 2}
    both = with_node(graph, Node("slice", "cut", ("img",), "cut", swap), before="down.0")
    assert one_image_at_a_time(both) is None
    nodes = [node for node in graph.nodes if node.name != "stack"]
    apart = Graph("apart", graph.tensors, tuple(nodes), ("img", "both"), graph.outputs, {})
    assert one_image_at_a_time(apart) is None
    raw = Node("slice", "raw", ("both",), "raw", {"axis": 0, "start": 0, "stop": 1})
    assert one_image_at_a_time(with_node(graph, raw, before="down.0")) is None
    joined = replace(
        graph,
        tensors={**graph.tensors, "four": tensor("four", (4, 4, 6, 5))},
        nodes=(*graph.nodes, Node("concat", "j", ("features", "features"), "four", {"axis": 0})),
        outputs=(*graph.outputs, "four"),
    )
    assert one_image_at_a_time(joined) is None
