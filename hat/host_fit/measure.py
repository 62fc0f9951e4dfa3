"""Measure the times of programs' instructions on this CPU."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from hat import interruption
from hat.errors import InputError
from horizon import hbm
from horizon.hbm import Instruction, Program
from horizon.runtime import Model

# On a CPU that does nothing else, repeated times agree within a few per cent.
BUSY = 1.15
TIMED = 2
QUANTILE = 0.25
COPIED = 1 << 26  # bytes of each thread: more than its caches hold
COPIES = 5


@dataclass(frozen=True)
class Timing:
    """One instruction of a program and the time that it took, in seconds."""

    instruction: Instruction
    seconds: float


@dataclass(frozen=True)
class Measured:
    """The measurements of all programs.

    Attributes:
        timings: in the order of programs and instructions.
        rounds: how often each program was timed.
        spread: a program's median time divided by its lower quartile; the median over the programs.
    """

    timings: tuple[Timing, ...]
    rounds: int
    spread: float

    @property
    def busy(self) -> bool:
        """Whether the CPU seems to have been busy with something else."""
        return self.spread > BUSY


def measure(programs: Sequence[Program], threads: int, seconds: float) -> Measured:
    """Run the programs in turn for some ``seconds``, and each at least ``TIMED`` times.

    The first run of a series is not timed, because it wakes the threads. An instruction's time is
    the lower quartile of its times: even on a quiet machine some runs are delayed, and the shortest
    time of all is luck.

    Raises:
        InputError: times that cannot be right.
    """
    models = [Model(hbm.to_bytes(program), threads) for program in programs]
    inputs = [_inputs(model) for model in models]
    times: list[list[tuple[int, ...]]] = [[] for _ in models]
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds == 0 or time.perf_counter() < end:
        for model, given, own in zip(models, inputs, times, strict=True):
            interruption.check()
            model.run(given)
            for _ in range(TIMED):
                own.append(model.run_counted(given)[1].instruction_nanoseconds)
        rounds += 1
        left = max(0, round(end - time.perf_counter()))
        print(f"measuring: round {rounds}, {left} s left ", end="\r", file=sys.stderr)
    print(file=sys.stderr)
    found = [np.array(own, dtype=np.int64) for own in times]
    timings = [
        Timing(instruction, float(nanoseconds) / 1e9)
        for program, own in zip(programs, found, strict=True)
        for instruction, nanoseconds in zip(
            program.instructions, np.quantile(own, QUANTILE, axis=0), strict=True
        )
    ]
    check(timings)
    totals = [own.sum(1) for own in found]
    spread = float(np.median([np.median(total) / np.quantile(total, QUANTILE) for total in totals]))
    return Measured(tuple(timings), TIMED * rounds, spread)


def check(timings: Sequence[Timing]) -> None:
    """Raise InputError for times that are 0, negative or not finite: the clock is broken."""
    for timing in timings:
        if not 0 < timing.seconds < float("inf"):
            raise InputError(
                f"{timing.instruction.layer} ({timing.instruction.opcode.name}): measured "
                f"{timing.seconds:g} s; expected a positive time; measure again, on a CPU whose "
                "clock counts nanoseconds"
            )


def copy_bandwidth(threads: int) -> float:
    """Bytes per second that ``threads`` threads together read and write while copying."""
    pairs = [(np.ones(COPIED, np.uint8), np.ones(COPIED, np.uint8)) for _ in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(COPIES):
            started = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(*pair), pairs))
            best = min(best, time.perf_counter() - started)
    return 2 * COPIED * threads / best


def _inputs(model: Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = {}
    for tensor in model.inputs:
        limits = np.iinfo(tensor.dtype)
        values[tensor.name] = rng.integers(limits.min, limits.max, tensor.shape, tensor.dtype)
    return values
