"""The constants of a program: weights and channel tables, each pattern of bytes once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horizon.compiler.tasks import Task, weight_layout
from horizon.hbir.fixed_point import offset_fraction_bits
from horizon.hbir.graph import Graph, Node
from horizon.hbm.records import ALIGNMENT
from horizon.hbm.weights import channel_table, pack_weights


@dataclass(frozen=True)
class Constants:
    """The bytes, and where each layer's part of them is.

    Attributes:
        weights: offset by layer.
        tables: offset and number of entries by layer.
    """

    data: bytes
    weights: dict[str, int]
    tables: dict[str, tuple[int, int]]


def collect_constants(graph: Graph, tasks: list[Task]) -> Constants:
    data = bytearray()
    known: dict[bytes, int] = {}

    def put(values: bytes) -> int:
        if values not in known:
            data.extend(bytes(-len(data) % ALIGNMENT))
            known[values] = len(data)
            data.extend(values)
        return known[values]

    weights, tables = {}, {}
    for task in tasks:
        node = task.node
        if node is None:
            continue
        if task.is_convolution:
            layout = weight_layout(node, graph.tensors[task.a.tensor].dtype)
            weights[node.name] = put(pack_weights(node.attributes["weight"], layout).tobytes())
        table = _table(graph, node)
        tables[node.name] = put(table), len(table) // len(channel_table(0, 0, 1))
    return Constants(bytes(data), weights, tables)


def _table(graph: Graph, node: Node) -> bytes:
    values = node.attributes
    if node.op in ("conv2d", "conv_transpose2d"):
        residual = values.get("residual_multiplier")
        return channel_table(values["bias"], values["multiplier"], values["shift"], residual)
    if node.op == "add":
        return channel_table(0, values["multiplier_a"], values["shift"], values["multiplier_b"])
    if node.op == "warp":
        _, height, width, _ = graph.tensors[node.output].shape
        shift = values["offset_shift"] - offset_fraction_bits(height, width)
        return channel_table(0, values["offset_multiplier"], shift)
    multiplier, shift = np.broadcast_arrays(values["multiplier"], values["shift"])
    return channel_table(0, multiplier, shift)
