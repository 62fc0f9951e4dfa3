"""Advice about memory, and that the bytes it speaks of are those that programs move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from horizon.compiler import compile_program
from horizon.compiler.check import Advice, check_graph
from horizon.compiler.check.layer import Pricing, price_layers
from horizon.compiler.fit import plans_of
from horizon.compiler.job import Job
from horizon.compiler.layout import place_tensors
from horizon.compiler.levels import LEVELS
from horizon.compiler.passes import run_passes
from horizon.compiler.tasks import list_tasks
from horizon.errors import InputError
from horizon.hbir import Graph
from horizon.hbm.records import DataType, Opcode
from horizon.march import Machine, load
from tests.horizon.compiler.checks import moved, small
from tests.horizon.compiler.random_graphs import random_graph
from tests.horizon.compiler.test_check_advice import MACHINE, RELU, Net
from tests.horizon.hbir.programs import ONE, tensor

SLOW_MEMORY = replace(MACHINE, ddr_bytes_per_second=1e6)  # a byte takes a cycle


@pytest.mark.parametrize("opt", LEVELS)
@pytest.mark.parametrize("machine", [small(8192), load("edge256"), load("host")], ids=str)
def test_bytes_are_those_of_the_plan(machine: Machine, opt: str) -> None:
    level = LEVELS[opt]
    planned = 0
    for seed in range(5):
        graph = run_passes(random_graph(seed, 12), level.passes)
        staged = machine.constants_in_place
        placed = place_tensors(graph, level.in_place, staged, DataType.uint8)
        tasks = list_tasks(placed)
        try:
            plans = list(plans_of(Job(placed, tasks, machine, level)))
        except InputError:
            continue
        planned += 1
        for plan in plans:
            layers = price_layers(placed, tasks, Pricing(machine), plan)
            assert sum(layer.nbytes for layer in layers) == plan.traffic
    assert planned >= 3


def test_bytes_are_those_of_the_program() -> None:
    graph, machine = random_graph(3, 12), small(16384)
    program = compile_program(graph, machine, "O1").program
    check = check_graph(graph, machine, opt="O1")
    counted = moved(program, Opcode.load) + moved(program, Opcode.store)
    assert sum(op.loaded_stored for op in check.ops) == counted > 0


def found(graph: Graph, kind: str, machine: Machine, opt: str = "O1") -> list[Advice]:
    return [one for one in check_graph(graph, machine, opt=opt).advice if one.kind == kind]


def test_a_layer_that_waits_for_memory() -> None:
    """8 pixels x 8 bytes in, 16 out, 8 x 16 of weights: 320 us for 2 groups of pixels, 2 us."""
    net = Net((1, 2, 4, 8))
    net.conv("layer", "x", 16)
    check = check_graph(net.graph("layer"), SLOW_MEMORY, opt="O1")
    (op,) = check.ops
    assert op.bounded_by == "ddr"
    assert op.loaded_stored == 64 + 128 + 128
    (one,) = check.advice
    assert one.kind == "memory"
    assert one.found.startswith("320 us of transfers for 2 us on unit tensor: input 0.064 kB, ")
    assert one.gain * 1e6 == pytest.approx(318)


def test_units_that_take_turns_do_not_wait_for_memory() -> None:
    net = Net((1, 2, 4, 8))
    net.conv("layer", "x", 16)
    machine = replace(SLOW_MEMORY, sequential=True)
    check = check_graph(net.graph("layer"), machine, opt="O1")
    assert not check.advice
    assert check.seconds * 1e6 == pytest.approx(322)


def test_tiles_that_overlap() -> None:
    """Rows of 64 pixels x 8 inputs, 16 rows, dilation 4: 3 taps reach 4 rows up and down.

    Whatever the tiles are, what they load beyond the map once is what the advice names.
    """
    net = Net((1, 16, 64, 8))
    net.conv("layer", "x", 16, 3, dilation=(4, 4), padding=(4, 4))
    machine = replace(SLOW_MEMORY, sram_bytes=12288)
    (one,) = found(net.graph("layer"), "halo", machine)
    program = compile_program(net.graph("layer"), machine, "O1").program
    loads = [i.out for i in program.instructions if i.opcode is Opcode.load]
    inputs = sum(int(np.prod(view.shape)) for view in loads if view.shape[3] == 8)
    whole = 16 * 64 * 8
    assert inputs > 1.02 * whole
    assert f"with dilation 4: {inputs / whole:.2f} x its input is loaded" in one.found
    assert one.gain * 1e6 == pytest.approx(inputs - whole)
    assert one.change.startswith("a smaller dilation")
    assert "--opt O3" in one.change
    assert "--opt O3" not in found(net.graph("layer"), "halo", machine, "O3")[0].change


def test_weights_and_inputs_that_are_loaded_again() -> None:
    """Weights of 9 x 64 x 64 bytes, which do not fit beside the input as a whole."""
    net = Net((1, 16, 16, 64))
    net.conv("layer", "x", 64, 3)
    machine = replace(SLOW_MEMORY, sram_bytes=24576)
    (one,) = found(net.graph("layer"), "inputs again", machine)
    program = compile_program(net.graph("layer"), machine, "O1").program
    loads = [i.out for i in program.instructions if i.opcode is Opcode.load]
    inputs = sum(int(np.prod(view.shape)) for view in loads if view.shape[3] == 64)
    passes = 64 // 16
    assert f"is loaded {passes} times, for slices of 16 of 64 outputs" in one.found
    assert one.gain * 1e6 == pytest.approx(inputs * (passes - 1) / passes)


def test_a_stride_that_skips() -> None:
    """1x1 with stride 2 reads a quarter of the 16 x 16 x 8 bytes that are loaded."""
    net = Net((1, 16, 16, 8))
    net.conv("layer", "x", 16, stride=(2, 2))
    (one,) = found(net.graph("layer"), "stride", SLOW_MEMORY)
    assert one.found == "stride 2x2, kernel 1x1: 75 % of its input is skipped"
    loaded = compile_program(net.graph("layer"), SLOW_MEMORY, "O1").program
    views = [i.out for i in loaded.instructions if i.opcode is Opcode.load]
    inputs = sum(int(np.prod(view.shape)) for view in views if view.shape[3] == 8)
    assert one.gain * 1e6 == pytest.approx(round(inputs * 0.75))


def test_a_warp_whose_map_is_cut_by_channels() -> None:
    """A channel's map of 1 KB, and 4 KB of offsets, which do not fit beside it: they come again
    for each slice of channels."""
    net = Net((1, 32, 32, 64))
    net.input("offset", (1, 32, 32, 2), "int16")
    values = {"offset_multiplier": ONE, "offset_shift": 33}
    net.add("warp", "warp", ("x", "offset"), tensor("warp", (1, 32, 32, 64)), values)
    machine = replace(SLOW_MEMORY, sram_bytes=4096)
    (one,) = found(net.graph("warp"), "offsets again", machine)
    program = compile_program(net.graph("warp"), machine, "O1").program
    loads = [i.out for i in program.instructions if i.opcode is Opcode.load]
    wide = [view for view in loads if view.dtype is DataType.int16]
    offsets = sum(int(np.prod(view.shape)) * 2 for view in wide)
    times = offsets / (32 * 32 * 2 * 2)
    assert times > 1
    assert f"offsets are loaded {times:.0f} times" in one.found
    assert "the whole map of 32x32 has to be in SRAM" in one.found
    assert one.gain * 1e6 == pytest.approx(offsets - 32 * 32 * 2 * 2)


def rescaled(net: Net, name: str, source: str, shift: int) -> str:
    info = net.tensors[source]
    values = {**RELU, "shift": shift}
    return net.add(name, "rescale", [source], tensor(name, info.shape), values)


def test_a_tensor_in_two_concats_is_copied() -> None:
    net = Net((1, 4, 4, 8))
    parts = [rescaled(net, name, "x", 33 + place) for place, name in enumerate("abc")]
    net.conv("y", net.concat("ab", parts[0], parts[1]), 16)
    net.conv("z", net.concat("ac", parts[0], parts[2]), 16)
    (one,) = found(net.graph("y", "z"), "copies", SLOW_MEMORY)
    assert one.layers == ("ab",)
    assert one.found.startswith("a is a part of ac too: ")
    assert "dense block" in one.change
    assert one.gain * 1e6 == pytest.approx(2 * 4 * 4 * 8)  # loaded and stored


def test_an_input_in_a_concat_is_copied() -> None:
    net = Net((1, 4, 4, 8))
    net.conv("y", net.concat("both", "x", rescaled(net, "a", "x", 33)), 16)
    (one,) = found(net.graph("y"), "copies", SLOW_MEMORY)
    assert one.found == "x, an input of the program, is a part of a concat: 0.128 kB are copied"


def test_an_output_that_layers_read_is_copied() -> None:
    net = Net((1, 4, 4, 8))
    net.conv("y", rescaled(net, "a", "x", 33), 16)
    (one,) = found(net.graph("y", "a"), "copies", SLOW_MEMORY)
    assert one.found.startswith("output a is read by layers as well")


def cut(net: Net, source: str) -> str:
    """Channels 2 to 5."""
    values = {"axis": 3, "start": 2, "stop": 6}
    return net.add("part", "slice", [source], tensor("part", (1, 4, 4, 4)), values)


def test_a_slice_in_a_concat_is_copied() -> None:
    net = Net((1, 4, 4, 8))
    part = cut(net, rescaled(net, "a", "x", 33))
    net.conv("y", net.concat("both", part, rescaled(net, "b", "x", 34)), 16)
    (one,) = found(net.graph("y"), "copies", SLOW_MEMORY)
    assert one.found == "part, a slice of a, is a part of a concat: 0.064 kB are copied"


def test_a_part_of_the_input_in_a_concat_is_copied() -> None:
    net = Net((1, 4, 4, 8))
    net.conv("y", net.concat("both", cut(net, "x"), rescaled(net, "b", "x", 34)), 16)
    (one,) = found(net.graph("y"), "copies", SLOW_MEMORY)
    assert one.found == "part, a part of the input, goes into a concat: 0.064 kB are copied"


def test_rows_and_columns_are_copied() -> None:
    net = Net((1, 4, 6, 8))
    whole = rescaled(net, "whole", "x", 33)
    rows = {"axis": 1, "start": 1, "stop": 3}
    part = net.add("part", "slice", [whole], tensor("part", (1, 2, 6, 8)), rows)
    other = rescaled(net, "other", part, 34)
    joined = tensor("joined", (1, 2, 12, 8))
    net.conv("y", net.add("joined", "concat", [other, other], joined, {"axis": 2}), 16)
    copies = [one.found.split(",")[0] for one in found(net.graph("y"), "copies", SLOW_MEMORY)]
    assert copies == ["columns are joined", "rows are cut"]


def test_copies_of_o0_say_that_o1_has_none() -> None:
    net = Net((1, 4, 4, 8))
    a, b = rescaled(net, "a", "x", 33), rescaled(net, "b", "x", 34)
    net.conv("y", net.concat("both", a, b), 16)
    changes = {one.change for one in found(net.graph("y"), "copies", SLOW_MEMORY, "O0")}
    assert changes == {"opt O1 or higher writes it in place"}
    assert not found(net.graph("y"), "copies", SLOW_MEMORY, "O1")


def test_passes_that_could_be_fused() -> None:
    net = Net((1, 4, 4, 8))
    net.input("z", (1, 4, 4, 8))
    net.conv("conv", "x", 8)
    values = {"multiplier_a": ONE, "multiplier_b": ONE, "shift": 24, "lo": -128, "hi": 127}
    net.add("sum", "add", ("conv", "z"), tensor("sum", (1, 4, 4, 8)), values)
    rescaled(net, "scaled", "sum", 33)
    relu = {**RELU, "shift": 23}
    net.add("relu", "rescale", ["x"], tensor("relu", (1, 4, 4, 8)), relu)
    advice = found(net.graph("scaled", "relu"), "passes", SLOW_MEMORY)
    texts = {one.layers[0]: one.change for one in advice}
    assert "conv, add" in texts["sum"]
    assert "conv, relu" in texts["relu"]
    assert "scale" in texts["scaled"]
    sums = next(one for one in advice if one.layers == ("sum",))
    assert sums.gain * 1e6 == pytest.approx(3 * 4 * 4 * 8)
