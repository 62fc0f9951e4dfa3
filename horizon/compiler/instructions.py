"""The instruction that computes one tile of a layer: its opcode and its parameters."""

from __future__ import annotations

from typing import Any

from horizon.compiler.constants import Constants
from horizon.compiler.geometry import Box, instruction_fields
from horizon.compiler.tasks import Task, weight_layout
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.operators import operator_of
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import Opcode


def opcode_of(node: Node) -> Opcode:
    """The opcode that computes a node."""
    name = operator_of(node).instruction
    assert name is not None, f"{node.op} only moves integers"
    return Opcode[name]


def parameters(
    graph: Graph, task: Task, boxes: dict[str, Box], constants: Constants
) -> dict[str, Any]:
    """The fields of the instruction other than its operands.

    Args:
        boxes: the parts of the output and the operands.
    """
    node = task.computed
    fields = instruction_fields(task, boxes)
    fields |= {name: int(node.attributes[name]) for name in ("lo", "hi") if name in node.attributes}
    if task.weighted:
        fields["weight_layout"] = weight_layout(node, graph.tensors[task.a.tensor].dtype)
    if operator_of(node).two_slopes(node):
        fields["two_slopes"] = True
    offset, entries = constants.tables[node.name]
    operator = operator_of(node)
    if entries > 1 and operator.entry_per_channel and operator.entries(node) is None:
        out = boxes["out"]
        offset += out.start[3] * CHANNEL.itemsize
        entries = out.shape[3]
    return fields | {"table": offset, "table_count": entries}
