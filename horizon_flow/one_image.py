"""A network of image pairs as one that takes a single image and keeps its features for the next.

In a video the second image of a pair is the first one of the next pair. What the network computes
of each image alone is then computed once::

    image, previous features -> flow, features

The integers are those of the network of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from horizon.hbir import Graph, Node, verify
from horizon.hbir.operators import operator_of
from horizon.hbir.operators.moves import Move, Piece

BATCH, CHANNELS = 0, 3  # axes of a tensor
PREVIOUS = "previous."


def one_image_at_a_time(graph: Graph) -> Graph | None:
    """The network that takes one image, or None if ``graph`` has another form than this.

    It cuts its only input into two images and joins these to a batch, and it cuts feature maps of
    one image out of that batch again before any operator sees both images.

    Returns:
        A network with the input of ``graph``, which is image 2 alone, and ``previous.NAME`` for
        each feature map NAME of image 1; and with the outputs of ``graph``, followed by the same
        feature maps of image 2.
    """
    found = _batch_of_images(graph)
    if found is None:
        return None
    batch, images = found
    (image,) = graph.inputs
    here = {batch: image}  # what stands here for a tensor of ``graph``
    both = {batch}  # tensors of ``graph`` that are a batch of both images
    kept: dict[str, str] = {}  # feature maps, and the inputs with those of the image before
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.output in (batch, *images):
            continue
        if not here.keys() >= set(node.inputs):
            return None
        pieces = _pieces(graph, node)
        axes = [piece.axis for piece in pieces]
        if both.isdisjoint(node.inputs):
            pass
        elif axes == [BATCH]:
            feature = here[node.inputs[0]]
            if feature == image:
                return None
            of_first = pieces[0].source == 0
            previous = kept.setdefault(feature, PREVIOUS + feature)
            here[node.output] = previous if of_first else feature
            continue
        elif both.issuperset(node.inputs) and BATCH not in axes:
            both.add(node.output)
        else:
            return None
        here[node.output] = node.output
        nodes.append(replace(node, inputs=tuple(here[name] for name in node.inputs)))
    if not both.isdisjoint(graph.outputs):
        return None
    tensors = {image: replace(graph.tensors[batch], name=image)}
    tensors |= {node.output: graph.tensors[node.output] for node in nodes}
    for name in {image, *both} & tensors.keys():
        tensors[name] = replace(tensors[name], shape=(1, *tensors[name].shape[1:]))
    tensors |= {name: replace(tensors[feature], name=name) for feature, name in kept.items()}
    result = replace(
        graph,
        tensors=tensors,
        nodes=tuple(nodes),
        inputs=(image, *kept.values()),
        outputs=(*(here[name] for name in graph.outputs), *kept),
    )
    verify(result)
    return result


def features_of(network: Graph) -> list[str]:
    """The feature maps that go in and out of a network of one image at a time."""
    previous = network.inputs[1:]
    return [*previous, *(name.removeprefix(PREVIOUS) for name in previous)]


def _batch_of_images(graph: Graph) -> tuple[str, tuple[str, ...]] | None:
    """The tensor that is a batch of image 1 and image 2, and the tensors that it is joined from."""
    makers = {node.output: node for node in graph.nodes}
    for node in graph.nodes:
        if len(graph.inputs) != 1 or [piece.axis for piece in _pieces(graph, node)] != [BATCH] * 2:
            continue
        cuts = [makers[name] for name in node.inputs if name in makers]
        pieces = [piece for cut in cuts for piece in _pieces(graph, cut)]
        half = graph.tensors[graph.inputs[0]].shape[CHANNELS] // 2
        if [(piece.axis, piece.source, piece.size) for piece in pieces] == [
            (CHANNELS, 0, half),
            (CHANNELS, half, half),
        ] and all(cut.inputs == graph.inputs for cut in cuts):
            return node.output, node.inputs
    return None


def _pieces(graph: Graph, node: Node) -> Sequence[Piece]:
    """What the output consists of, if the node only moves integers."""
    operator = operator_of(node)
    if not isinstance(operator, Move):
        return ()
    return operator.pieces(node, [graph.tensors[name].shape for name in node.inputs])
