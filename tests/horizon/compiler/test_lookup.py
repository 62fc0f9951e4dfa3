"""Compiled lookups: every level, tiles, tails and extremes, in the interpreter and the executor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import horizon.march
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.errors import CompilerError
from horizon.hbir import Graph, Node, TensorInfo, run, verify
from horizon.hbm import to_bytes
from horizon.hbm.records import Opcode
from horizon.runtime import Model
from tests.horizon.compiler.interpreter import from_file, run_program, to_file
from tests.horizon.compiler.mutations import changed

LEVELS = ("O0", "O1", "O2", "O3")
SHAPES = [(1, 1, 37, 1), (1, 9, 16, 3), (2, 1, 5, 31), (1, 24, 40, 33), (1, 1, 1, 960)]


def two_lookups(shape: tuple[int, int, int, int]) -> Graph:
    """int8 to int8 to int16, both of which are outputs."""
    rng = np.random.default_rng(sum(shape))
    infos = [
        TensorInfo(name, shape, dtype, (0.1,))
        for name, dtype in (("x", "int8"), ("y", "int8"), ("z", "int16"))
    ]
    tables = [rng.integers(-128, 128, 256), rng.integers(-32768, 32768, 256)]
    nodes = tuple(
        Node("lookup", f"act{i}", (source.name,), out.name, {"function": "silu", "table": table})
        for i, (source, out, table) in enumerate(
            (a, b, t.astype(b.dtype)) for a, b, t in zip(infos[:2], infos[1:], tables, strict=True)
        )
    )
    graph = Graph("lookups", {i.name: i for i in infos}, nodes, ("x",), ("y", "z"), {})
    verify(graph)
    return graph


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("machine", ["host", "edge256", "small"])
def test_compiled_lookups(shape: tuple[int, int, int, int], machine: str) -> None:
    march = horizon.march.load("edge256" if machine == "small" else machine)
    if machine == "small":
        march = replace(march, name="small", sram_bytes=16 * 1024)
    graph = two_lookups(shape)
    x = np.resize(np.arange(-128, 128), shape)
    expected = run(graph, {"x": x})
    parts = set()
    for level in LEVELS:
        compiled = compile_program(graph, march, level)
        verify_program(compiled)
        program = compiled.program
        given = to_file(program, {"x": x})
        for found in (run_program(program, given), Model(to_bytes(program)).run(given)):
            for name, values in from_file(program, found).items():
                assert np.array_equal(values, expected[name])
        parts.add(sum(item.opcode is Opcode.lookup for item in program.instructions))
    assert max(parts) > 2 or machine != "small" or np.prod(shape) < 5000


def test_the_verifier_compares_the_table() -> None:
    compiled = compile_program(two_lookups((1, 4, 4, 3)), horizon.march.load("host"))
    items = compiled.program.instructions
    first, second = (n for n, item in enumerate(items) if item.opcode is Opcode.lookup)
    with pytest.raises(CompilerError, match=r"layer act0.*table, entry 0"):
        verify_program(changed(compiled, first, table=items[second].table))
    data = bytearray(compiled.program.constants)
    data[items[second].table + 2 * 200 + 1] ^= 1
    broken = changed(compiled, first)
    broken.program = replace(broken.program, constants=bytes(data))
    with pytest.raises(CompilerError, match=r"layer act1.*table, entry 200"):
        verify_program(broken)


def test_a_table_that_changes_nothing_is_left_out() -> None:
    graph = two_lookups((1, 4, 4, 3))
    first, second = graph.nodes
    same = first.attributes | {"table": np.arange(-128, 128).astype(np.int8)}
    graph = replace(graph, nodes=(replace(first, attributes=same), second), outputs=("z",))
    compiled = compile_program(graph, horizon.march.load("host"), "O3")
    lookups = [i.layer for i in compiled.program.instructions if i.opcode is Opcode.lookup]
    assert lookups == ["act1"]
