"""The estimate of a program: its sums, its layers, and what no machine can be asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from horizon import hbm, march
from horizon.compiler import compile_program
from horizon.errors import InputError
from horizon.hbm.records import Opcode, Space
from horizon.perf import Estimate, estimate
from tests.horizon.compiler.checks import ROOT
from tests.horizon.hbir.programs import pyramid
from tests.horizon.perf.examples import MACHINE, conv, instruction, load, program, store, view

WORK = 60 * 20 * 17 * 9  # products of the convolution below; it takes 10 + 36 * 29 s


def rounded(bound: float) -> object:
    """Bounds may be given a little less than the formula's value."""
    return pytest.approx(bound, rel=2e-7)


@pytest.fixture
def found() -> Estimate:
    """Two layers; the second one's load runs ahead of the first one's work."""
    vector = view((1, 1, 1, 64))
    steps = [
        load(64, layer="first"),
        load(65, layer="second"),
        conv((2, 3, 10, 20), 17, (3, 3), layer="first", waits={"load": 1}),
        instruction(Opcode.rescale, vector, vector, {"load": 2}, layer="second"),
        store(64, layer="second", waits={"vector": 1}),
        store(32, layer="second", waits={"tensor": 1}),
    ]
    return estimate(program(steps), MACHINE)


def test_instructions(found):
    assert [(one.start, one.end) for one in found.instructions] == [
        (0, 21),
        (21, 50),
        (21, 1075),
        (50, 70),
        (70, 93),
        (1075, 1090),
    ]
    assert [one.busy for one in found.instructions] == [21, 29, 1054, 20, 23, 15]
    assert [one.macs for one in found.instructions] == [0, 0, WORK, 0, 0, 0]
    assert [one.ddr_bytes for one in found.instructions] == [64, 65, 0, 0, 64, 32]


def test_busy_leaves_out_waiting_for_the_bus():
    waits = estimate(program([load(64), store(64)]), MACHINE).instructions[1]
    assert (waits.start, waits.end, waits.busy) == (0, 37, 23)


def test_layers(found):
    first, second = found.layers
    assert (first.name, first.opcodes) == ("first", ("load", "conv"))
    assert (first.start, first.end, first.macs) == (0, 1075, WORK)
    assert (first.loaded, first.stored) == (64, 0)
    assert first.busy == {"load": 21, "tensor": 1054}
    assert (rounded(first.bound), first.bounded_by) == (WORK / 512, "tensor")
    assert first.utilisation == WORK / 512 / 1054
    assert (second.name, second.opcodes) == ("second", ("load", "rescale", "store"))
    assert (second.start, second.end, second.macs) == (21, 1090, 0)
    assert (second.loaded, second.stored) == (65, 96)
    assert second.busy == {"load": 29, "store": 23 + 15, "vector": 20}
    assert (rounded(second.bound), second.bounded_by) == (161 / 4, "ddr")
    assert second.utilisation == 0


def test_the_order_in_time_need_not_be_that_of_the_list():
    vector = view((1, 1, 1, 64))
    steps = [
        load(64, layer="first"),
        conv((2, 3, 10, 20), 17, (3, 3), layer="second", waits={"load": 1}),
        instruction(Opcode.rescale, vector, vector, layer="second"),
    ]
    found = estimate(program(steps), MACHINE)
    second = found.layers[1]
    assert (second.start, second.end, found.latency) == (0, 1075, 1075)


def test_sums(found):
    assert (found.latency, rounded(found.bound)) == (1090, WORK / 512)
    assert (found.loaded, found.stored, found.macs) == (129, 96, WORK)
    assert found.busy == {
        "load": 50,
        "store": 38,
        "tensor": 1054,
        "vector": 20,
        "aux": 0,
        "transform": 0,
    }
    assert (found.cores, found.fps) == (2, 2 / 1090)


def test_cores_share_the_bandwidth_and_each_has_its_frame():
    steps = program([load(64), store(64, waits={"load": 1})])
    one, both = estimate(steps, MACHINE, 1), estimate(steps, MACHINE)
    assert (one.latency, one.fps) == (5 + 8 + 7 + 8, 1 / 28)
    assert (both.latency, both.fps) == (5 + 16 + 7 + 16, 2 / 44)


def test_int16_products_are_held_against_the_int16_peak():
    (layer,) = estimate(program([conv((1, 1, 4, 16), 8, (3, 3), dtype="int16")]), MACHINE).layers
    assert rounded(layer.bound) == 18
    assert layer.utilisation == 18 / (10 + 18 + 2)


@pytest.mark.parametrize("cores", [0, 3, -1])
def test_cores_that_there_are_not(cores):
    with pytest.raises(InputError, match=f"machine round: {cores} cores; expected 1 to 2; choose"):
        estimate(program([load(64)]), MACHINE, cores)


def test_a_missing_unit_names_the_layer():
    compiled = compile_program(pyramid(), march.load("edge256")).program
    machine = march.load("edge256")
    less = replace(machine, units=tuple(unit for unit in machine.units if unit != "aux"))
    message = "layer warp: warp needs unit aux; machine edge256 has load, store, .*; change the"
    with pytest.raises(InputError, match=message):
        estimate(compiled, less)


def test_too_little_memory():
    message = "needs 1025 bytes of SRAM; machine round has 1024; compile it for this machine"
    with pytest.raises(InputError, match=message):
        estimate(program([load(64)], 1025), replace(MACHINE, sram_bytes=1024))
    assert estimate(program([load(64)], 1024), replace(MACHINE, sram_bytes=1024)).latency == 21


def test_weights_in_place():
    step = replace(conv((1, 1, 4, 16), 8, (3, 3)), weight=view((1, 1, 1, 64), space=Space.constant))
    with pytest.raises(InputError, match="layer layer: its weights are read in place; machine"):
        estimate(program([step]), MACHINE)
    assert estimate(program([step]), replace(MACHINE, constants_in_place=True)).latency == 21


def test_a_program_without_instructions():
    with pytest.raises(InputError, match="by hand: no instructions; expected at least a store"):
        estimate(program([]), MACHINE)


@pytest.mark.parametrize("name", march.available())
def test_a_program_read_from_its_file_takes_as_long(name):
    machine = march.load(name)
    if "aux" not in machine.units:
        with pytest.raises(InputError, match="layer warp: warp needs unit aux"):
            estimate(compile_program(pyramid(), march.load("edge256")).program, machine)
        return
    compiled = compile_program(pyramid(), machine).program
    found = estimate(compiled, machine)
    again = estimate(hbm.from_bytes(hbm.to_bytes(compiled)), machine)
    assert again.instructions == found.instructions
    assert again.layers == found.layers
    assert found.bound < found.latency
    assert found.macs == sum(compiled.metadata["macs"].values())
    assert [layer.name for layer in found.layers] == list(
        dict.fromkeys(one.layer for one in compiled.instructions)
    )


def test_the_example_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "performance.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "out" / "bayes").mkdir(parents=True)
    program = compile_program(pyramid(), march.load("bayes")).program
    hbm.write(program, tmp_path / "out" / "bayes" / "model.hbm")
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["found"], Estimate)
