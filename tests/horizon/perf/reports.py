"""Estimates for the tests of the reports: compiled programs that load, store and use all units."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from horizon import march
from horizon.compiler import compile_program
from horizon.perf import Estimate, estimate
from tests.horizon.compiler.checks import small
from tests.horizon.compiler.random_graphs import random_graph


@cache
def random_estimate(seed: int, sram_bytes: int = 16384, opt: str = "O2") -> Estimate:
    """A random program in little memory, in tiles."""
    machine = small(sram_bytes)
    return estimate(compile_program(random_graph(seed, 14), machine, opt).program, machine)


@cache
def two_cores(seed: int = 2001) -> Estimate:
    machine = replace(small(16384), cores=2)
    return estimate(compile_program(random_graph(seed, 14), machine, "O2").program, machine)


@cache
def on_host(seed: int = 1003) -> Estimate:
    machine = march.load("host")
    return estimate(compile_program(random_graph(seed, 14), machine, "O2").program, machine)
