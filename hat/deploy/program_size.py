"""Which sizes of images a network takes, beside the one that it was converted with."""

from __future__ import annotations

from hat.errors import InputError
from horizon.hbir import Graph, resized
from horizon.hbir.graph import ONE_SIZE

MULTIPLES = (2, 4, 8, 16, 32, 64, 128, 256)
"""What the sides are tried with: networks halve their maps."""
OWN_ADVICE = "; convert the model again or correct the program"
"""What an operator advises of tensors that do not fit; here it is the size that does not."""


def check_size(graph: Graph, size: tuple[int, int]) -> None:
    """InputError unless the network takes images of ``size`` (H, W); says which sizes it takes.

    It does not where two maps that meet would differ in size, or a linear layer would have several
    places. A network with a ``size_multiple`` says itself which sizes it takes.
    """
    if "size_multiple" in graph.attributes:
        return
    try:
        _check(graph, size)
    except InputError as error:
        if graph.attributes.get(ONE_SIZE):  # which has been told
            raise
        raise InputError(
            f"program size {_text(size)} (height x width), by --size or deploy_inputs: "
            f"{str(error).removesuffix(OWN_ADVICE)}; {_advice(graph, size)}"
        ) from error


def _advice(graph: Graph, size: tuple[int, int]) -> str:
    """A size near ``size`` that suits the network, as the rest of a message."""
    for multiple in MULTIPLES:
        height, width = (max(1, -(-side // multiple)) * multiple for side in size)
        others = [(height, width), (height + multiple, width), (height, width + multiple)]
        if all(_takes(graph, other) for other in others):
            return f"expected multiples of {multiple}, such as {_text((height, width))}"
    return (
        f"the network takes {_text(_own_size(graph))} only; change deploy_inputs, and the network "
        "with them"
    )


def _takes(graph: Graph, size: tuple[int, int]) -> bool:
    try:
        _check(graph, size)
    except InputError:
        return False
    return True


def _check(graph: Graph, size: tuple[int, int]) -> None:
    """InputError if two maps do not fit, or there are maps where ``graph`` gives single numbers.

    A linear layer is a convolution as large as its map. On a larger map it has several places,
    which the network itself, a plain one, has not.
    """
    other = resized(graph, 1, *size)
    for name in graph.outputs:
        before, now = (each.tensors[name].shape[1:3] for each in (graph, other))
        if before == (1, 1) != now:
            raise InputError(
                f"the output {name!r} would be a map of {_text(now)}, which the network's linear "
                "layer does not give"
            )


def _own_size(graph: Graph) -> tuple[int, int]:
    _, height, width, _ = graph.tensors[graph.inputs[0]].shape
    return height, width


def _text(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
