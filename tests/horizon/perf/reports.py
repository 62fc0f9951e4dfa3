"""Estimates for the tests of the reports: compiled programs that load, store and use all units."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from horizon import march
from horizon.compiler import compile_program
from horizon.errors import CapacityError
from horizon.perf import Estimate, estimate
from tests.horizon.compiler.checks import small
from tests.horizon.compiler.random_graphs import random_graph


@cache
def random_estimate(seed: int, sram_bytes: int = 16384, opt: str = "O2") -> Estimate:
    """A random program in little memory, in tiles: the first of some that fits."""
    machine = small(sram_bytes)
    for number in range(seed, seed + 5000, 500):
        try:
            program = compile_program(random_graph(number, 14), machine, opt).program
        except CapacityError:
            continue
        return estimate(program, machine)
    raise AssertionError(f"no program of {seed} and on fits {sram_bytes} bytes")


@cache
def two_cores(seed: int = 2001) -> Estimate:
    machine = replace(small(16384), cores=2)
    return estimate(compile_program(random_graph(seed, 14), machine, "O2").program, machine)


@cache
def on_host(seed: int = 1007) -> Estimate:
    machine = march.load("host")
    return estimate(compile_program(random_graph(seed, 14), machine, "O2").program, machine)
