"""Compiled programs give the reference's integers, in any order that units may take."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from horizon.compiler import compile_program
from horizon.errors import InputError
from horizon.hbir import Graph, Node, verify
from horizon.hbm import disassemble
from horizon.hbm.records import DataType, Layout, Opcode, Space, Unit
from horizon.march import Machine, load
from tests.horizon.compiler.checks import LEVELS, ROOT, check, moved, opcodes, small
from tests.horizon.compiler.random_graphs import random_graph
from tests.horizon.hbir.programs import conv_attributes, conv_program, pyramid, tensor


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("seed", range(8))
def test_random_programs_on_the_host(seed: int, opt: str) -> None:
    graph = random_graph(1000 + seed, 14)
    compiled = compile_program(graph, load("host"), opt)
    check(graph, compiled, seed)
    assert compiled.program.ddr_bytes == 0


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("sram_bytes", [4096, 16384, 262144])
@pytest.mark.parametrize("seed", range(5))
def test_random_programs_in_little_memory(seed: int, sram_bytes: int, opt: str) -> None:
    graph = random_graph(2000 + seed, 12)
    try:
        compiled = compile_program(graph, small(sram_bytes), opt, ("uint8", "int8")[seed % 2])
    except InputError as error:
        if sram_bytes > 4096 or "too little memory" not in str(error):
            raise
        return
    assert compiled.program.sram_bytes <= sram_bytes
    check(graph, compiled, seed)


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("machine", [load("host"), small(16384)], ids=lambda m: m.name)
def test_arrays_with_their_channels_last(machine: Machine, opt: str) -> None:
    graph = random_graph(3000, 12)
    names = {*graph.inputs, *graph.outputs}
    for last in (names, set(graph.outputs[:1]), set(graph.inputs[:1])):
        compiled = compile_program(graph, machine, opt, channels_last=last)
        check(graph, compiled)
        for array in (*compiled.program.inputs, *compiled.program.outputs):
            n, h, w, c = graph.tensors[array.name].shape
            expected = (Layout.nhwc, (n, h, w, c)), (Layout.nchw, (n, c, h, w))
            assert (array.layout, array.shape) == expected[array.name not in last]
    with pytest.raises(InputError, match="channels_last: none; expected inputs and outputs of"):
        compile_program(graph, machine, opt, channels_last=["none"])


def test_most_random_programs_fit_the_smallest_memory() -> None:
    fit = 0
    for seed in range(5):
        try:
            compile_program(random_graph(2000 + seed, 12), small(4096), "O0")
            fit += 1
        except InputError:
            continue
    assert fit >= 3


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("machine", [load("host"), small(2048)], ids=lambda m: m.name)
def test_inputs_that_are_outputs(machine: Machine, opt: str) -> None:
    tensors = {"x": tensor("x", (2, 5, 7, 3)), "w": tensor("w", (1, 4, 4, 2), "int16")}
    graph = Graph("through", tensors, (), ("x", "w"), ("w", "x"), {})
    check(graph, compile_program(graph, machine, opt))


def one_conv() -> Graph:
    rng = np.random.default_rng(0)
    values = conv_attributes(rng, "conv2d", (16, 3, 3, 8), "int8", False)
    return conv_program("conv2d", (1, 24, 16, 8), values, "int8", "int8", None)


def test_double_buffering_loads_a_tile_before_the_one_before_it_is_computed() -> None:
    graph = one_conv()
    single, double = (compile_program(graph, small(8192), opt).program for opt in ("O1", "O2"))
    tile = ["load", "conv", "store"]
    assert opcodes(single)[1:] == tile * opcodes(single).count("conv")
    tiles = opcodes(double).count("conv")
    assert tiles > 2
    assert opcodes(double) == ["load"] * 2 + tile * (tiles - 1) + ["conv", "store"]
    loads = [i for i in double.instructions if i.opcode is Opcode.load and i.a.space is Space.input]
    assert all(a.out.offset != b.out.offset for a, b in pairwise(loads))
    # The second tile is loaded while nothing is computed yet, the third waits for the first.
    assert [i.waits[Unit.tensor] for i in loads[:3]] == [0, 0, 1]


def test_resident_tensors_move_nothing() -> None:
    graph = pyramid()
    program = compile_program(graph, load("edge256"), "O2").program
    assert program.ddr_bytes == 0
    image, flow, out = (int(np.prod(graph.tensors[n].shape)) for n in ("img", "flow", "out"))
    assert moved(program, Opcode.store) == 2 * flow + 4 * out
    weights = sum(i.weight.shape[3] for i in program.instructions if i.weight)
    assert moved(program, Opcode.load) == image + weights


def test_records_of_the_program() -> None:
    graph = pyramid()
    compiled = compile_program(graph, load("edge256"), "O1")
    program = compiled.program
    assert (program.name, program.march, program.opt) == ("pyramid", "edge256", 1)
    assert program.size_multiple == 4
    (image,) = program.inputs
    assert (image.name, image.dtype, image.shape) == ("img", DataType.uint8, (1, 6, 8, 12))
    assert (image.zero_point, image.scales) == (128, (1 / 128,))
    assert [t.name for t in program.outputs] == ["out", "flow"]
    assert program.outputs[0].scales == (1e-5, 2e-5)
    assert program.outputs[0].shape == (1, 2, 8, 12)
    signed = compile_program(graph, load("edge256"), "O1", "int8").program.inputs[0]
    assert (signed.dtype, signed.zero_point) == (DataType.int8, 0)
    macs = program.metadata["macs"]
    assert macs["down.0"] == 2 * 4 * 6 * 5 * 3 * 3 * 3
    assert macs["corr"] == 4 * 6 * 9 * 5
    assert macs["up"] == 4 * 6 * 2 * 4 * 4 * 5
    assert program.metadata["nodes"]["concat"] == 2
    assert len(compiled.regions) == len(program.instructions)


def test_equal_weights_are_stored_once() -> None:
    graph = one_conv()
    again = Node("conv2d", "again", ("y",), "z", dict(graph.nodes[0].attributes))
    weight = again.attributes["weight"]
    again.attributes["weight"] = np.concatenate([weight, weight], 3)
    twice = Node("conv2d", "twice", ("z",), "u", again.attributes)
    tensors = graph.tensors | {name: tensor(name, (1, 24, 16, 16)) for name in "zu"}
    graph = Graph("g", tensors, (graph.nodes[0], again, twice), ("x",), ("u",), {})
    verify(graph)
    first, second, third = (
        i for i in compile_program(graph, load("host")).program.instructions if i.weight
    )
    assert second.weight == third.weight != first.weight
    assert second.table == third.table == first.table


@pytest.mark.parametrize("march", ["host", "edge256"])
def test_the_same_input_gives_the_same_program(march: str) -> None:
    """In another process, with other hashes."""
    code = (
        "from horizon.compiler import compile_program\n"
        "from horizon.march import load\n"
        "from tests.horizon.compiler.random_graphs import random_graph\n"
        "import hashlib\n"
        f"p = compile_program(random_graph(3, 30), load({march!r}), 'O3').program\n"
        "print(hashlib.sha256(repr(p).encode()).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize("opt", LEVELS)
def test_too_little_memory_names_the_layer_and_the_bytes(opt: str) -> None:
    with pytest.raises(InputError, match=r"layer layer: its smallest tile needs \d+ bytes.*1024"):
        compile_program(one_conv(), small(1024), opt)


def test_too_little_memory_of_a_machine_that_cuts_nothing() -> None:
    host = replace(load("host"), sram_bytes=4096)
    with pytest.raises(InputError, match="need 9216 bytes at a time; machine host has 4096"):
        compile_program(one_conv(), host)


def test_a_missing_unit() -> None:
    machine = replace(load("edge256"), units=("load", "store", "tensor", "vector", "transform"))
    with pytest.raises(InputError, match="layer warp: warp needs unit aux; machine edge256 has"):
        compile_program(pyramid(), machine)


def test_unknown_level_and_input_type() -> None:
    with pytest.raises(InputError, match="opt 'O4'; expected one of O0, O1, O2, O3"):
        compile_program(pyramid(), load("host"), "O4")
    with pytest.raises(InputError, match="input type 'float'"):
        compile_program(pyramid(), load("host"), "O2", "float")


def test_an_output_twice() -> None:
    graph = replace(pyramid(), outputs=("out", "flow", "out"))
    with pytest.raises(InputError, match=r"outputs \['out'\] are there twice"):
        compile_program(graph, load("host"))


def test_the_assembly_that_the_page_explains() -> None:
    text = disassemble(compile_program(pyramid(), load("edge256")).program)
    page = (ROOT / "docs" / "compiler.md").read_text()
    (line,) = [line for line in page.splitlines() if "conv        down.0" in line]
    assert line in text.splitlines()
