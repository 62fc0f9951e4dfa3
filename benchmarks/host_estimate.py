"""Compares estimated and measured times of programs on this CPU.

``python -m benchmarks.host_estimate [--march NAME|FILE.toml] [--rounds N] [--json FILE]``

The programs are the tutorial's full network, the lite network and two variants, with random
weights, at several sizes. None of them was used to fit the description (``hat fit-host`` uses
networks that it makes up). Every round runs all programs in random order, each with as many threads
as the description has workers. A program first runs repeatedly to warm up; then its instructions
are timed. If the CPU has VPDPBUSD, a loop of it on registers runs on one core. The distance of its
speed from the description's clock shows which part of an error is due to the clock.

Prints the estimated and measured time of each program, the layers of the first two programs, and
the median relative error of these layers. A measured time is the lower quartile over all runs, as
in the fit, because other work on the system delays some runs. The median is printed too.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import horizon.march
from benchmarks.peaks import peak_of
from benchmarks.training_step import machine as cpu_name
from hat.cli.common import print_table
from hat.config import Config, parse_opts
from hat.data.files import write_json
from hat.deploy.build import compile_model
from hat.deploy.random_program import random_program
from hat.errors import InputError
from hat.host_fit.calibrate import kind_of
from hat.host_fit.measure import QUANTILE
from horizon import hbm
from horizon.cpus import usable_cpus
from horizon.hbm import Program
from horizon.march import Machine
from horizon.perf import Estimate, estimate
from horizon.runtime import Model, kernels_name

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "opticalflow_pred" / "pwcnet"
FULL, LITE = "pwcnet_pwcnetneck_flyingchairs.py", "pwcnet_lite_flyingchairs.py"
# Name, config, options.
NETWORKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "full": (FULL, ()),
    "lite": (LITE, ()),
    "full, context at the last level only": (FULL, ("model.head.use_res", "False")),
    "full, not dense either": (
        FULL,
        ("model.head.use_res", "False", "model.head.use_dense", "False"),
    ),
}
CASES: tuple[tuple[str, tuple[int, int]], ...] = (
    ("full", (384, 512)),
    ("lite", (384, 512)),
    ("full, context at the last level only", (384, 512)),
    ("full, not dense either", (384, 512)),
    ("full", (128, 192)),
    ("full", (256, 384)),
    ("full", (448, 1024)),
    ("full", (768, 1024)),
    ("lite", (128, 192)),
    ("lite", (256, 384)),
    ("lite", (768, 1024)),
)
DETAILED = 2  # number of cases whose layers are all in the results
TOTAL_WITHIN, LAYER_WITHIN = 0.15, 0.25
PRODUCTS = 64  # multiply-accumulates of one VPDPBUSD
WARM_SECONDS, TIMED = 0.03, 3
COLUMNS = (
    "network",
    "size",
    "estimated ms",
    "measured ms",
    "median ms",
    "ratio",
    "median layer",
    "90 % below",
)


@dataclass
class Case:
    """A network at one size, its estimate, and the ns of its instructions in every round."""

    network: str
    size: tuple[int, int]
    program: Program
    estimate: Estimate
    model: Model
    nanoseconds: list[tuple[int, ...]] = field(default_factory=list)

    def measured(self, quantile: float = QUANTILE) -> float:
        """The measured seconds of a run."""
        return float(np.quantile(np.sum(self.nanoseconds, axis=1), quantile)) / 1e9

    def by_instruction(self) -> np.ndarray:
        """The measured seconds of each instruction."""
        seconds: np.ndarray = np.quantile(self.nanoseconds, QUANTILE, axis=0) / 1e9
        return seconds

    def layers(self) -> list[dict[str, Any]]:
        """Every layer's estimated and measured time, in the program's order."""
        measured: defaultdict[str, float] = defaultdict(float)
        rows = zip(self.program.instructions, self.by_instruction(), strict=True)
        for instruction, seconds in rows:
            measured[instruction.layer] += float(seconds)
        return [
            {
                "layer": layer.name,
                "instructions": ", ".join(layer.opcodes),
                "estimated us": round(1e6 * sum(layer.busy.values()), 2),
                "measured us": round(1e6 * measured[layer.name], 2),
                "error": round(sum(layer.busy.values()) / measured[layer.name] - 1, 4),
            }
            for layer in self.estimate.layers
        ]

    def kinds(self) -> dict[str, dict[str, float]]:
        """Estimated and measured ms by kind of instruction."""
        found: dict[str, dict[str, float]] = {}
        estimates, measured = self.estimate.instructions, self.by_instruction()
        rows = zip(self.program.instructions, estimates, measured, strict=True)
        for instruction, timed, seconds in rows:
            kind = found.setdefault(kind_of(instruction), {"estimated ms": 0.0, "measured ms": 0.0})
            kind["estimated ms"] += 1e3 * timed.busy
            kind["measured ms"] += 1e3 * float(seconds)
        return {
            kind: {name: round(value, 4) for name, value in sums.items()}
            for kind, sums in found.items()
        }

    def result(self) -> dict[str, Any]:
        errors = np.abs([row["error"] for row in self.layers()])
        return {
            "network": self.network,
            "size": f"{self.size[0]}x{self.size[1]}",
            "estimated ms": round(1e3 * self.estimate.latency, 3),
            "measured ms": round(1e3 * self.measured(), 3),
            "median ms": round(1e3 * self.measured(0.5), 3),
            "ratio": round(self.estimate.latency / self.measured(), 4),
            "median layer": round(float(np.median(errors)), 4),
            "90 % below": round(float(np.quantile(errors, 0.9)), 4),
            "by kind": self.kinds(),
        }


def make_cases(machine: Machine, cases: Sequence[tuple[str, tuple[int, int]]]) -> list[Case]:
    models = {}
    made = []
    for name, size in cases:
        if name not in models:
            file, options = NETWORKS[name]
            config = Config.fromfile(CONFIGS / file, parse_opts(list(options)))
            models[name] = random_program(config)
        program = compile_model(models[name], size, march="host").program
        model = Model(hbm.to_bytes(program), machine.workers)
        made.append(Case(name, size, program, estimate(program, machine), model))
        print(f"compiled: {name}, {size[0]}x{size[1]}", file=sys.stderr)
    return made


def time_cases(cases: Sequence[Case], rounds: int) -> list[float]:
    """Set the times of all cases; returns the MAC/s of VPDPBUSD on one core in every round."""
    order, rng = random.Random(0), np.random.default_rng(0)
    images = [
        {t.name: rng.integers(0, 256, t.shape, np.uint8) for t in case.model.inputs}
        for case in cases
    ]
    peak = peak_of("avx512")
    peaks = []
    for number in range(rounds):
        for place in order.sample(range(len(cases)), len(cases)):
            case, image = cases[place], images[place]
            # Warm up until all threads are awake and each has a core of its own.
            warm = time.perf_counter() + WARM_SECONDS
            while time.perf_counter() < warm:
                case.model.run(image)
            for _ in range(TIMED):
                case.nanoseconds.append(case.model.run_counted(image)[1].instruction_nanoseconds)
        if peak is not None:
            peaks.append(peak.macs_per_second(1))
        print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
    return peaks


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--march", default="host", help="a machine, or the path of its description")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds: expected 1 or more, found {args.rounds}")
    try:
        machine = horizon.march.load(args.march)
    except InputError as error:
        parser.error(f"--march: {error}")
    if not (machine.sequential and machine.constants_in_place):
        parser.error(f"--march {args.march}: expected the description of a CPU, as fit_host makes")
    cores = usable_cpus()
    if machine.workers > cores:
        parser.error(f"--march {args.march}: {machine.workers} workers, but only {cores} cores")
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    cases = make_cases(machine, CASES)
    peaks = time_cases(cases, args.rounds)
    results = [case.result() for case in cases]
    for case in cases[:DETAILED]:
        rows = [tuple(row.values()) for row in case.layers()]
        print(f"\n{case.network}, {case.size[0]}x{case.size[1]}")
        print_table(rows, tuple(case.layers()[0]))
    print()
    print_table([tuple(result[column] for column in COLUMNS) for result in results], COLUMNS)
    within = [
        abs(result["ratio"] - 1) <= TOTAL_WITHIN and result["median layer"] <= LAYER_WITHIN
        for result in results
    ]
    output: dict[str, Any] = {
        "machine": cpu_name(torch.device("cpu")),
        "kernels": kernels_name(),
        "description": machine.title,
        "threads": machine.workers,
        "rounds": args.rounds,
        "load before": load,
        "totals within 15 % and median layers within 25 %": within,
        "programs": results,
        "layers": {
            f"{case.network}, {case.size[0]}x{case.size[1]}": case.layers()
            for case in cases[:DETAILED]
        },
    }
    if peaks:
        ratio = float(np.median(peaks)) / (PRODUCTS * machine.clock_hz)
        output["VPDPBUSD on registers of one core, GMAC/s"] = [
            round(peak / 1e9, 1) for peak in peaks
        ]
        output["that over the description's clock"] = round(ratio, 4)
        print(f"VPDPBUSD on registers runs at {ratio:.1%} of the description's clock")
    if args.json:
        write_json(args.json, output)
    if not all(within):
        print("not all programs are within 15 % in total and 25 % in the median layer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
