"""Compile a program graph to the program of a machine; the steps, in order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from horizon.compiler.candidates import Candidate, make_candidates
from horizon.compiler.check.sizes import check_outputs, check_tensor_sizes
from horizon.compiler.check.supported import refuse_unsupported
from horizon.compiler.constants import collect_constants
from horizon.compiler.emit import Region, emit_program, regions_of
from horizon.compiler.job import Job
from horizon.compiler.layout import place_tensors
from horizon.compiler.levels import level_of
from horizon.compiler.passes import run_passes
from horizon.compiler.schedule import list_operations
from horizon.compiler.search import fastest
from horizon.compiler.tasks import list_tasks
from horizon.errors import InputError
from horizon.hbir.graph import Graph
from horizon.hbm.records import DataType, Program
from horizon.march import Machine

INPUT_TYPES = ("uint8", "int8")


@dataclass(frozen=True)
class Compiled:
    """A compiled program, and what it was compiled from.

    Attributes:
        graph: the graph after all passes; ``regions`` names its tensors.
        regions: for each instruction, what its operands "out", "a", "b" and "weight" contain: the
            name of a tensor and the first element (n, y, x, c) in it, or None. The weights of a
            layer are called "layer:weight"; their element gives the first output channel.
    """

    program: Program
    graph: Graph
    regions: list[dict[str, Region | None]]


def compile_program(
    graph: Graph,
    machine: Machine,
    opt: str = "O2",
    input_type: str = "uint8",
    channels_last: Collection[str] = (),
) -> Compiled:
    """Compile a program graph.

    Args:
        opt: "O0" to "O3", see ``docs/compiler.md``.
        input_type: type of the program's inputs where the graph's are int8: "uint8" (integer +
            128) or "int8".
        channels_last: inputs and outputs whose arrays are NHWC, the layout within a program, which
            makes moving them fast; the others are NCHW.

    Raises:
        InputError: a graph that ``horizon.hbir.verify`` refuses, an unknown level, input type, or
            name in ``channels_last``.
        CapacityError: ``horizon.compiler.check`` finds a layer that the machine does not support,
            because of its unit, a limit or memory.
        CompilerError: the program breaks a rule of program files.
    """
    level = level_of(opt)
    if input_type not in INPUT_TYPES:
        raise InputError(f"input type {input_type!r}; expected one of {', '.join(INPUT_TYPES)}")
    check_outputs(graph)
    if unknown := set(channels_last) - {*graph.inputs, *graph.outputs}:
        raise InputError(
            f"channels_last: {', '.join(sorted(unknown))}; expected inputs and outputs of "
            f"{graph.name}: {', '.join((*graph.inputs, *graph.outputs))}"
        )
    graph = run_passes(graph, level.passes)
    check_tensor_sizes(graph)
    stage = machine.constants_in_place
    placed = place_tensors(graph, level.in_place, stage, DataType[input_type], channels_last)
    tasks = list_tasks(placed)
    job = Job(placed, tasks, machine, level)
    refuse_unsupported(job)
    constants = collect_constants(graph, tasks)

    def build(one: Candidate) -> Compiled:
        operations = list_operations(one.job, one.plan, constants)
        program = emit_program(one.job, one.plan, operations, constants)
        return Compiled(program, graph, regions_of(operations))

    return fastest(make_candidates(job), build, lambda compiled: compiled.program, machine)
