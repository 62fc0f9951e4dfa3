"""The constants of a program: weights and channel tables, each pattern of bytes once."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.compiler.tasks import Task, weight_layout
from horizon.hbir.graph import Graph
from horizon.hbir.operators import operator_of
from horizon.hbm.format import CHANNEL
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
        if task.weighted:
            layout = weight_layout(node, graph.tensors[task.a.tensor].dtype)
            weights[node.name] = put(pack_weights(node.attributes["weight"], layout).tobytes())
        operator = operator_of(node)
        columns, entries = operator.table(node, task.shapes), operator.entries(node)
        tables[node.name] = 0, 0
        if entries is not None:
            data_type = entries.dtype.newbyteorder("<")
            tables[node.name] = put(entries.astype(data_type).tobytes()), len(entries)
        elif columns:
            table = channel_table(**columns)
            tables[node.name] = put(table), len(table) // CHANNEL.itemsize
    return Constants(bytes(data), weights, tables)
