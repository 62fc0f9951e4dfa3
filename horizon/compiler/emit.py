"""From operations to the program: addresses, waits, records and metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from horizon.compiler.constants import Constants
from horizon.compiler.hazards import list_waits
from horizon.compiler.job import Job
from horizon.compiler.layout import PlacedGraph, io_name
from horizon.compiler.plan import Plan
from horizon.compiler.schedule import Access, Operation
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node
from horizon.hbir.operators import operator_of
from horizon.hbm.records import (
    UNIT_OF,
    DataType,
    Instruction,
    IoTensor,
    Layout,
    Program,
    Quad,
    Space,
    View,
)

VERSION = 1
UINT8_ZERO = 128
Region = tuple[str, Quad]


def emit_program(
    job: Job, plan: Plan, operations: Sequence[Operation], constants: Constants
) -> Program:
    """The records of the program. They depend on the arguments alone."""
    placed, graph = job.placed, job.placed.graph
    starts = {Space.sram: plan.sram, Space.ddr: plan.ddr}
    sizes = {name: buffer.nbytes for name, buffer in placed.buffers.items()}
    sizes |= {block.name: block.nbytes for block in plan.blocks}
    ranges = {
        name: (space, offset, offset + sizes[name])
        for space, offsets in starts.items()
        for name, offset in offsets.items()
    }

    def operand_views(operation: Operation) -> dict[str, Any]:
        return {name: address(access) for name, access in operation.operands.items()}

    def address(access: Access) -> View:
        if access.block not in ranges:
            return access.view
        return replace(access.view, offset=access.view.offset + ranges[access.block][1])

    instructions = tuple(
        Instruction(
            operation.opcode,
            UNIT_OF[operation.opcode],
            operation.layer,
            waits,
            **operand_views(operation),
            **operation.parameters,
        )
        for operation, waits in zip(operations, list_waits(operations, ranges), strict=True)
    )
    return Program(
        name=graph.name,
        march=job.machine.name,
        opt=job.level.number,
        inputs=tuple(_io_tensor(placed, name, Space.input) for name in graph.inputs),
        outputs=tuple(_io_tensor(placed, name, Space.output) for name in graph.outputs),
        instructions=instructions,
        constants=constants.data,
        sram_bytes=plan.sram_bytes,
        ddr_bytes=plan.ddr_bytes,
        size_multiple=int(graph.attributes.get("size_multiple", 1)),
        metadata=_metadata(graph, instructions),
    )


def regions_of(operations: Sequence[Operation]) -> list[dict[str, Region | None]]:
    """For each instruction, the tensor that each operand is part of, and its first element."""
    names = ("out", "a", "b", "weight")
    return [
        {
            name: (access.tensor, access.start)
            if (access := operation.operands.get(name))
            else None
            for name in names
        }
        for operation in operations
    ]


def _io_tensor(placed: PlacedGraph, name: str, space: Space) -> IoTensor:
    info = placed.graph.tensors[name]
    dtype = placed.buffers[io_name(space, name)].dtype
    batch, height, width, channels = info.shape
    last = name in placed.channels_last
    layout = Layout.nhwc if last else Layout.nchw
    shape = info.shape if last else (batch, channels, height, width)
    zero = UINT8_ZERO if dtype is DataType.uint8 else 0
    return IoTensor(name, dtype, layout, shape, info.scales, zero)


def _metadata(graph: Graph, instructions: Sequence[Instruction]) -> dict[str, Any]:
    macs = {node.name: _multiply_accumulates(graph, node) for node in graph.nodes}
    opcodes = Counter(instruction.opcode.name for instruction in instructions)
    return {
        "compiler": VERSION,
        "nodes": dict(sorted(Counter(node.op for node in graph.nodes).items())),
        "instructions": dict(sorted(opcodes.items())),
        "macs": {name: count for name, count in macs.items() if count},
    }


def _multiply_accumulates(graph: Graph, node: Node) -> int:
    shapes = [graph.tensors[name].shape for name in node.inputs]
    return operator_of(node).macs(node, shapes, graph.tensors[node.output].shape)
