"""Fit a machine description to the CPU that this runs on, so that its time can be estimated.

Times the instructions of networks that nobody would train, finds the numbers with which the
estimate comes nearest, and writes them as a description that compile_perf.py takes as --march.
Takes about a minute. Close other programs first: what runs beside it makes the CPU look slow.
"""

from __future__ import annotations

import argparse
import math
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import horizon.march
from hat.cli.common import print_table
from hat.data.files import write_file
from hat.errors import InputError
from hat.file_kinds import DESCRIPTION
from hat.host_fit import numbers
from hat.host_fit.calibrate import KINDS, Residual, calibrate, residuals
from hat.host_fit.description import description
from hat.host_fit.measure import COPIED, Measured, copy_bandwidth, measure
from hat.host_fit.probes import probe_graphs
from hat.outputs import check_outputs
from horizon.compiler import compile_program
from horizon.cpus import cpuinfo, usable_cpus
from horizon.march import ARRAYS, Machine, Source
from horizon.march.description import FOLDER
from horizon.runtime import kernels_name

BASE = "host"
CHAINS, SECONDS = 80, 40.0
# Median error of all instructions: a CPU with nothing else to do is at 10 %.
POOR = 0.2
COLUMNS = ("kind", "instructions", "share", "median error", "90 % below", "estimated / measured")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE.toml", help="the description")
    parser.add_argument("--threads", type=int, help="of each run (default: all cores)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"to measure (default: {SECONDS:g})"
    )
    parser.add_argument(
        "--chains",
        type=int,
        default=CHAINS,
        help=f"small networks to measure, 15 at least (default: {CHAINS})",
    )
    parser.add_argument(
        "--clock-ghz",
        type=float,
        help="in which cycles are counted; times do not depend on it (default: the system's word)",
    )


def run(args: argparse.Namespace) -> int:
    out = Path(args.out)
    threads = usable_cpus() if args.threads is None else args.threads
    _check(args, out, threads)
    own = {
        f"{name}, a machine that comes along": FOLDER / f"{name}.toml"
        for name in horizon.march.available()
    }
    check_outputs([(out, DESCRIPTION)], own, "--out")
    base = horizon.march.load(BASE)
    graphs = probe_graphs(args.chains)
    programs = [compile_program(graph, base, opt="O1").program for graph in graphs]
    measured = measure(programs, threads, args.seconds)
    bandwidth = copy_bandwidth(threads)
    clock, clock_source = _clock(args.clock_ghz)
    start = replace(base, workers=threads, clock_hz=clock, ddr_bytes_per_second=bandwidth)
    fitted = calibrate(measured.timings, start)
    machine = _described(fitted, out.stem, threads, measured, clock_source)
    comment = f"Written by fit_host.py: {machine.title}.\nMain memory stands for the SRAM."
    write_file(out, description(machine, comment).encode())
    machine = horizon.march.load(out)
    found = residuals(measured.timings, machine)
    print_residuals(found)
    if np.median([abs(one.relative) for one in found]) > POOR:
        print(
            f"warning: half of the instructions are more than {POOR:.0%} off: something "
            "else ran on this CPU all the while, or the formulas do not fit it. Measure again."
        )
    if measured.busy:
        print(
            f"warning: the median time of the same program is {measured.spread - 1:.0%} above its "
            "lower quartile; something else runs on this CPU, or its clock changes. Measure again."
        )
    print(f"wrote {out}; estimate a program's time on this CPU with compile_perf.py --march {out}")
    return 0


def print_residuals(found: Sequence[Residual]) -> None:
    """A table of how far the estimate is from the times, for each kind of instruction."""
    total = sum(one.timing.seconds for one in found)
    rows = []
    for kind in (*KINDS, "all"):
        own = [one for one in found if kind in (one.kind, "all")]
        errors = np.abs([one.relative for one in own])
        seconds = sum(one.timing.seconds for one in own)
        rows.append(
            (
                kind,
                len(own),
                f"{seconds / total:.1%}",
                f"{np.median(errors):.1%}",
                f"{np.quantile(errors, 0.9):.1%}",
                f"{sum(one.seconds for one in own) / seconds:.3f}",
            )
        )
    print_table(rows, COLUMNS)


def _check(args: argparse.Namespace, out: Path, threads: int) -> None:
    if out.suffix != ".toml":
        raise InputError(f"--out {out}: expected a name that ends in .toml")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: no folder {out.parent}; make it first")
    for name, value in (("--threads", threads), ("--chains", args.chains)):
        if value < 1:
            raise InputError(f"{name} {value}: expected 1 or more")
    for name, number in (
        ("--seconds", args.seconds),
        ("--clock-ghz", 1 if args.clock_ghz is None else args.clock_ghz),
    ):
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"{name} {number:g}: expected more than 0")


def _clock(gigahertz: float | None) -> tuple[float, Source]:
    """Hz, and where that comes from."""
    if gigahertz is not None:
        return gigahertz * 1e9, Source("assumed", "as given to fit_host.py")
    file = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    try:
        return int(file.read_text()) * 1e3, Source("published", "largest one, by the system")
    except (OSError, ValueError):
        pass
    if megahertz := cpuinfo().get("cpu MHz"):
        return float(megahertz) * 1e6, Source("published", "the system, while it measured")
    return 1e9, Source("assumed", "unknown: cycles are nanoseconds")


def _described(
    machine: Machine, name: str, threads: int, measured: Measured, clock: Source
) -> Machine:
    """The fitted machine with its name, title and sources."""
    cpu = cpuinfo().get("model name") or platform.processor() or platform.machine()
    setting = f"{cpu}, {threads} thread{'s' if threads > 1 else ''}, {kernels_name()} kernels"
    times = f"hat fit-host: {len(measured.timings):,} instructions of made-up networks"
    source = Source("fitted", f"{times}, lower quartile of {measured.rounds} runs")
    keys = numbers.fitted_keys() + tuple(
        f"tensor.{array}.{size}" for array in ARRAYS for size in numbers.SIZES
    )
    copies = f"copies of {COPIED >> 20} MiB by each of the threads, bytes read and written"
    sources = {
        **machine.sources,
        **dict.fromkeys(keys, source),
        "workers": Source("assumed", "the threads of each run that was measured"),
        "clock_hz": clock,
        "memory.ddr_bytes_per_second": Source("fitted", copies),
    }
    return replace(machine, name=name, title=f"CPU: {setting}", sources=sources)
