"""A program for one machine, with the estimate of its performance there: what goes into files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import horizon.hbm
from hat.deploy.build import compile_graph
from hat.deploy.estimate_rows import estimate_rows
from hat.deploy.summary import summary
from hat.errors import InputError
from hat.processes import in_processes
from horizon.files import json_text
from horizon.hbir import Graph, to_text
from horizon.hbm import RANDOM_WEIGHTS
from horizon.march import Machine
from horizon.perf import Estimate, as_json, estimate, html_page
from horizon.perf.bound import bound
from horizon.perf.cost import Costs


@dataclass(frozen=True)
class Options:
    """How to compile and what to report.

    Attributes:
        opt: "O0" to "O3".
        input_type: "uint8" or "int8".
        cores: that work at the same time; None: all of the machine.
        details: the JSON lists every instruction.
        weights: where they come from: a file, or RANDOM_WEIGHTS.
    """

    opt: str
    input_type: str
    cores: int | None
    details: bool
    weights: str


@dataclass(frozen=True)
class Result:
    """The result for one machine. It passes between processes, so it holds only what is needed.

    Attributes:
        figures: the figures by which machines are compared.
        rows: titles and texts for people.
        files: contents by kind: "hbm", "hbir", "html", "json".
        error: why the machine cannot run the network; everything else is then empty.
    """

    machine: Machine
    figures: dict[str, Any]
    rows: list[tuple[str, str]]
    files: dict[str, bytes]
    error: str = ""


def results(
    graph: Graph, machines: Sequence[Machine], options: Options, jobs: int = 1
) -> Generator[Result]:
    """:func:`compile_and_estimate` for each machine, in order, ``jobs`` at the same time.

    A machine that cannot run the network gives a result with an ``error``.

    Raises:
        InputError: a process was killed.
    """
    return in_processes(partial(_result_or_error, graph, options), machines, jobs)


def _result_or_error(graph: Graph, options: Options, machine: Machine) -> Result:
    try:
        return compile_and_estimate(graph, options, machine)
    except InputError as error:
        return Result(machine, {}, [], {}, str(error))


def compile_and_estimate(graph: Graph, options: Options, machine: Machine) -> Result:
    """Compile ``graph`` for ``machine``, verify the program and estimate its performance.

    Raises:
        InputError: a layer that the machine cannot carry out, too little memory, or more cores
            than it has.
    """
    started = time.perf_counter()
    compiled = compile_graph(graph, machine, options.opt, options.input_type)
    program = compiled.program
    if options.weights == RANDOM_WEIGHTS:
        program = replace(program, metadata={**program.metadata, "weights": RANDOM_WEIGHTS})
    seconds = time.perf_counter() - started
    data = horizon.hbm.to_bytes(program)
    program = horizon.hbm.from_bytes(data)  # what is reported is what the file holds
    found = estimate(program, machine, options.cores)
    record = as_json(found, details=options.details)
    record["summary"]["model info"]["weights"] = options.weights
    limit = bounded_by(found)
    record["summary"]["estimate"]["bounded by"] = limit
    return Result(
        machine,
        figures(record["summary"], machine),
        [
            *summary(program),
            *estimate_rows(record["summary"]),
            ("time", f"{seconds:.1f} s to compile and verify"),
        ],
        {
            "hbm": data,
            "hbir": to_text(compiled.graph).encode(),
            "html": html_page(found).encode(),
            "json": json_text(record).encode() + b"\n",
        },
    )


def bounded_by(found: Estimate) -> str:
    """What the bound of the whole program comes from: "tensor", "ddr", "sram" or another unit."""
    costs = Costs(found.machine, found.cores)
    counts = Counter(costs.of(instruction) for instruction in found.program.instructions)
    return bound(found.machine, found.cores, counts)[1]


def figures(summary: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """The figures by which machines are compared, with the record's names and values."""
    performance, access = summary["performance"], summary["DDR access data"]
    own = summary["estimate"]
    return {
        "machine": machine.name,
        "title": machine.title,
        "cores": summary["model info"]["BPU core number"],
        "FPS": performance["FPS"],
        "latency (us)": performance["latency (us)"],
        "bound (us)": own["bound (us)"],
        "bounded by": own["bounded by"],
        "loaded bytes per run": access["loaded bytes per run"],
        "stored bytes per run": access["stored bytes per run"],
        "MAC utilization": own["MAC utilization"],
        "SRAM bytes": own["SRAM bytes"],
        "SRAM bytes of the machine": machine.sram_bytes,
    }
