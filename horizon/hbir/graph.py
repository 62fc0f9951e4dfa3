"""A program: integer tensors (NHWC) and the nodes that make them, in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from horizon.errors import InputError
from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.operators import operator_of
from horizon.hbir.operators.moves import check_side

ONE_SIZE = "one_size"
"""The attribute of a program that is for images of one size; 1 where it is there."""


@dataclass(frozen=True)
class Graph:
    """A program.

    Attributes:
        tensors: every tensor by its name.
        nodes: in the order of execution.
        inputs, outputs: names of tensors.
        attributes: facts about the program, for instance ``size_multiple``: height and width of
            the inputs are multiples of it.
    """

    name: str
    tensors: dict[str, TensorInfo]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, str | int]


def verify(graph: Graph) -> None:
    """Check everything that can be known before a program runs, the overflow proof included.

    Raises:
        InputError: names the node or tensor: an unknown operator, a missing, unknown, misshapen or
            non-integer attribute, a tensor that is unknown, made twice or read before it is made,
            a shape or type that does not follow from the inputs', an illegal shift, multiplier or
            limit, an accumulator that can reach 2^28.
    """
    for key, info in graph.tensors.items():
        _check_tensor(graph, key, info)
    made: set[str] = set()
    names: set[str] = set()
    for name in graph.inputs:
        _check_known(graph, name, "an input")
        if name in made:
            raise InputError(f"program {graph.name}: input {name} is there twice; name it once")
        made.add(name)
    for node in graph.nodes:
        _check_node(graph, node, made, names)
        made.add(node.output)
        names.add(node.name)
    for name in graph.outputs:
        _check_known(graph, name, "an output")
    for name in (*graph.outputs, *graph.tensors):
        if name not in made:
            raise InputError(
                f"program {graph.name}: no node makes tensor {name}, and it is no input; "
                "remove it or add the node"
            )
    if not graph.outputs:
        raise InputError(f"program {graph.name}: no outputs; expected at least one")


def needed_nodes(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that the tensors ``outputs`` depend on, in their order."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def check_size(graph: Graph, height: int, width: int) -> None:
    """InputError for another size of the first input where the program knows only its own.

    That is so where the network computes with sizes: what it would compute for others is not known.
    """
    _, own_height, own_width, _ = graph.tensors[graph.inputs[0]].shape
    if graph.attributes.get(ONE_SIZE) and (height, width) != (own_height, own_width):
        raise InputError(
            f"program {graph.name}: images of {height} x {width}; expected {own_height} x "
            f"{own_width}, the size of the network's example: the network computes with the sizes "
            "of its maps, so prepare and convert it with an example of the size that it shall run "
            "with"
        )


def resized(graph: Graph, batch: int, height: int, width: int) -> Graph:
    """The program for another size of its inputs.

    Args:
        batch, height, width: size of the first input; other inputs keep their proportion to it.
            Slices of the batch axis scale with the batch.

    Raises:
        InputError: the size is not positive, not a multiple of ``attributes["size_multiple"]``, or
            the program cannot take it.
    """
    multiple = int(graph.attributes.get("size_multiple", 1))
    if min(batch, height, width) < 1 or height % multiple or width % multiple:
        raise InputError(
            f"program {graph.name}: size {batch} x {height} x {width} (batch, height, width); "
            f"expected positive numbers, height and width multiples of {multiple}; pad the images"
        )
    check_size(graph, height, width)
    old = graph.tensors[graph.inputs[0]].shape
    new = (batch, height, width)

    def scaled(value: int, axis: int) -> int:
        result, rest = divmod(value * new[axis], old[axis])
        if rest:
            raise InputError(
                f"program {graph.name}: {value} of {old[axis]} along axis {axis} has no "
                f"counterpart for {new[axis]}; choose a multiple of {old[axis]}"
            )
        return result

    tensors = {}
    for name in graph.inputs:
        info = graph.tensors[name]
        n, h, w = (scaled(info.shape[axis], axis) for axis in range(3))
        tensors[name] = replace(info, shape=(n, h, w, info.shape[3]))
    nodes = []
    for node in graph.nodes:
        operator = operator_of(node)
        node = replace(node, attributes=operator.resize(node, lambda value: scaled(value, 0)))
        inputs = [tensors[name] for name in node.inputs]
        axis = operator.fixed_axis(node)
        if axis is not None:
            known = graph.tensors[node.inputs[0]].shape[axis]
            check_side(node.name, axis, known, inputs[0].shape[axis])
        shape = operator.infer(node, inputs)
        tensors[node.output] = replace(graph.tensors[node.output], shape=shape)
        nodes.append(node)
    ordered = {name: tensors[name] for name in graph.tensors}
    result = replace(graph, tensors=ordered, nodes=tuple(nodes))
    verify(result)
    return result


def _check_tensor(graph: Graph, key: str, info: TensorInfo) -> None:
    where = f"program {graph.name}, tensor {key}"
    if info.name != key:
        raise InputError(f"{where}: its name is {info.name!r}; expected {key!r}")
    if info.dtype not in LIMITS:
        raise InputError(f"{where}: type {info.dtype!r}; expected one of {sorted(LIMITS)}")
    shape = info.shape
    if len(shape) != 4 or not all(isinstance(side, int) and side > 0 for side in shape):
        raise InputError(f"{where}: shape {shape}; expected positive (N, H, W, C)")
    if len(info.scales) not in (1, shape[3]):
        raise InputError(
            f"{where}: {len(info.scales)} scales; expected 1 or one for each of {shape[3]} channels"
        )
    if not all(math.isfinite(scale) and scale > 0 for scale in info.scales):
        raise InputError(f"{where}: scales {info.scales}; expected positive finite numbers")


def _check_known(graph: Graph, name: str, what: str) -> None:
    if name not in graph.tensors:
        raise InputError(
            f"program {graph.name}: {name!r} is {what}; expected one of its tensors, "
            f"{', '.join(graph.tensors)}"
        )


def _check_node(graph: Graph, node: Node, made: set[str], names: set[str]) -> None:
    where = f"layer {node.name} ({node.op})"
    operator = operator_of(node)
    if node.name in names:
        raise InputError(f"{where}: a layer of this name is there already; names are unique")
    for name in node.inputs:
        _check_known(graph, name, f"an input of {where}")
        if name not in made:
            raise InputError(f"{where}: reads {name} before it is made; put its node first")
    _check_known(graph, node.output, f"the output of {where}")
    if node.output in made:
        raise InputError(f"{where}: makes {node.output}, which is there already; make it once")
    inputs = [graph.tensors[name] for name in node.inputs]
    operator.verify(node, inputs, graph.tensors[node.output])
