"""The parameters of the instruction that computes one tile of a layer."""

from __future__ import annotations

from typing import Any

from horizon.compiler.constants import Constants
from horizon.compiler.geometry import Box, correlation_padding, local_padding
from horizon.compiler.tasks import Task, weight_layout
from horizon.hbir.fixed_point import offset_fraction_bits
from horizon.hbir.graph import Graph
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import Opcode

OPCODES = {
    "conv2d": Opcode.conv,
    "conv_transpose2d": Opcode.conv,
    "correlation": Opcode.correlation,
    "warp": Opcode.warp,
    "rescale": Opcode.rescale,
    "add": Opcode.add,
}


def parameters(
    graph: Graph, task: Task, boxes: dict[str, Box], constants: Constants
) -> dict[str, Any]:
    """The fields of the instruction beside its operands.

    Args:
        boxes: the parts of the output and the operands.
    """
    node = task.node
    assert node is not None
    values = node.attributes
    out = boxes["out"]
    offset, entries = constants.tables[node.name]
    if entries > 1:
        offset += out.start[3] * CHANNEL.itemsize
        entries = out.shape[3]
    fields: dict[str, Any] = {"table": offset, "table_count": entries}
    if task.op != "warp":
        fields |= {"lo": int(values["lo"]), "hi": int(values["hi"])}
    if task.is_convolution:
        _, kh, kw, _ = values["weight"].shape
        fields |= {
            "kernel": (kh, kw),
            "stride": values["stride"],
            "dilation": values.get("dilation", (1, 1)),
            "pad": local_padding(task, out, boxes["a"]),
            "transposed": task.op == "conv_transpose2d",
            "weight_layout": weight_layout(node, graph.tensors[task.a.tensor].dtype),
        }
    elif task.op == "correlation":
        fields |= {
            "pad": correlation_padding(task, out, boxes["b"]),
            "reach": values["max_displacement"],
        }
    elif task.op == "warp":
        _, height, width, _ = graph.tensors[node.output].shape
        fields |= {
            "fraction_bits": offset_fraction_bits(height, width),
            "origin": (task.out.start[1] + out.start[1], task.out.start[2] + out.start[2]),
        }
    return fields
