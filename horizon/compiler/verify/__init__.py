"""The verifier of compiled programs, independent of the compiler's planning.

It knows nothing of tiles, the allocator or the schedule. It follows every element of the graph
through the memories, instruction by instruction, and proves

- that every operand holds exactly the elements that the layer's definition reads, halos included,
- that parameters, channel tables and weights are the layer's,
- that no two instructions which the waits leave unordered touch the same bytes,
- that every element of the outputs is stored, once.

Because the instructions are free of races, a proof for the order of the list holds for every order
that the waits allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from horizon.compiler.verify.follow import Follower, Regions
from horizon.compiler.verify.hazards import check_hazards
from horizon.compiler.verify.problem import Wrong
from horizon.compiler.verify.shadow import whole
from horizon.errors import CompilerError
from horizon.hbir.graph import Graph, verify
from horizon.hbm.check import check_program
from horizon.hbm.records import DataType, Program, Space


class Compiled(Protocol):
    """The compiler's result. ``regions`` is its claim of what each operand contains."""

    @property
    def program(self) -> Program: ...
    @property
    def graph(self) -> Graph: ...
    @property
    def regions(self) -> Sequence[Regions]: ...


def verify_program(compiled: Compiled) -> None:
    """Prove that a program computes its graph, in every order that its waits allow.

    Raises:
        CompilerError: names the instruction, its layer, the bytes in question, and what was found
            and expected there.
    """
    program, graph = compiled.program, compiled.graph
    where = f"program {program.name}"
    verify(graph)
    check_program(program, where)
    _check_interface(program, graph, where)
    if len(compiled.regions) != len(program.instructions):
        raise CompilerError(
            f"{where}: regions of {len(compiled.regions)} instructions; expected "
            f"{len(program.instructions)}; this is a fault of the compiler, report it"
        )
    for number, wrong in check_hazards(program):
        raise _error(program, number, wrong)
    follower = Follower(program, graph)
    for number, (instruction, regions) in enumerate(
        zip(program.instructions, compiled.regions, strict=True)
    ):
        try:
            follower.follow(instruction, regions)
        except Wrong as wrong:
            raise _error(program, number, wrong) from None
    follower.finish(where)


def _error(program: Program, number: int, wrong: Wrong) -> CompilerError:
    instruction = program.instructions[number]
    return CompilerError(
        f"program {program.name}: instruction {number} ({instruction.opcode.name}, layer "
        f"{instruction.layer}): {wrong}; this is a fault of the compiler, report it; another "
        "level of --opt may do"
    )


def _check_interface(program: Program, graph: Graph, where: str) -> None:
    """The program's inputs and outputs are the graph's."""
    for kind, tensors, names in (
        ("input", program.inputs, graph.inputs),
        ("output", program.outputs, graph.outputs),
    ):
        if tuple(tensor.name for tensor in tensors) != tuple(names):
            listed = [tensor.name for tensor in tensors]
            raise CompilerError(
                f"{where}: {kind}s {listed}; expected {list(names)}, as in the graph; compile again"
            )
        for index, tensor in enumerate(tensors):
            info = graph.tensors[tensor.name]
            shape = whole(tensor, Space.none, index).shape
            signed = kind == "input" and tensor.dtype is DataType.uint8
            found = (shape, DataType.int8.name if signed else tensor.dtype.name, tensor.scales)
            expected = (info.shape, info.dtype, info.scales)
            if found != expected:
                raise CompilerError(
                    f"{where}: {kind} {tensor.name} is {found} (shape as NHWC, type, scales); "
                    f"expected {expected}, as in the graph; compile again"
                )
