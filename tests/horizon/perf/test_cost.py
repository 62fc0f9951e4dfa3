"""Durations of every instruction, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from horizon.hbm.records import DataType, Instruction, Opcode, Space, WeightLayout
from horizon.march import Array, Machine
from horizon.perf.cost import Costs
from tests.horizon.perf.examples import MACHINE, conv, instruction, load, store, view, with_unit


def busy(one: Instruction, machine: Machine = MACHINE, cores: int = 2) -> float:
    return Costs(machine, cores).of(one).busy


def test_a_convolution_rounds_pixels_inputs_and_outputs_up():
    # 2 * 3 rows * ceil(10 / 4) * ceil(20 / 16) = 36 groups of 9 * ceil(17 / 8) = 27 steps + 2.
    assert busy(conv((2, 3, 10, 20), 17, (3, 3))) == 10 + 36 * 29


def test_stride_and_dilation_cost_nothing_by_themselves():
    plain = conv((2, 3, 10, 20), 17, (3, 3))
    strided = conv((2, 3, 10, 20), 17, (3, 3), stride=(2, 2), dilation=(4, 4), pad=(-3, 1))
    assert busy(strided) == busy(plain)


def test_int16_inputs_take_more_steps_and_no_more_draining():
    one = conv((2, 3, 10, 20), 17, (3, 3), dtype="int16")
    assert busy(one) == 10 + 36 * (2 * 27 + 2)


def test_weights_in_rows_go_to_the_narrow_array():
    # 3 rows * ceil(9 / 2) * 2 outputs = 30 groups of 9 * ceil(40 / 32) = 18 steps + 3.
    one = conv((1, 3, 9, 2), 40, (3, 3), weight_layout=WeightLayout.rows)
    assert busy(one) == 10 + 30 * 21
    # In blocks: 3 * ceil(9 / 4) * 1 = 9 groups of 9 * ceil(40 / 8) = 45 steps + 2.
    assert busy(conv((1, 3, 9, 2), 40, (3, 3))) == 10 + 9 * 47


def test_an_output_of_a_depthwise_convolution_has_one_input():
    # 3 rows * ceil(9 / 4) * ceil(40 / 16) = 27 groups of 9 steps + 2, whatever the inputs.
    one = conv((1, 3, 9, 40), 40, (3, 3), weight_layout=WeightLayout.depthwise)
    assert busy(one) == 10 + 27 * 11
    assert Costs(MACHINE, 1).of(one).macs == 3 * 9 * 40 * 9
    assert MACHINE.tensor is not None
    own = replace(MACHINE.tensor, depthwise=Array(2, 1, 64, 3.0, 1.0))
    # 3 rows * ceil(9 / 2) * 1 = 15 groups of 27 steps + 1.
    assert busy(one, replace(MACHINE, tensor=own)) == 10 + 15 * 28


def test_a_transposed_convolution_is_one_convolution_for_each_remainder():
    # 4 phases of 3 rows * ceil(5 / 4) = 6 groups of 4 * ceil(17 / 8) = 12 steps + 2.
    up = conv((1, 6, 10, 2), 17, (4, 4), transposed=True, stride=(2, 2), pad=(1, 1))
    assert busy(up) == 10 + 4 * 6 * 14


@pytest.mark.parametrize(
    ("kernel", "side", "pad", "cycles"),
    [
        # Of 5 places 3 meet taps 0 and 2, 2 meet tap 1: along both axes.
        ((3, 3), 5, (0, 0), 3 * (4 + 2) + 3 * (2 + 2) + 2 * (2 + 2) + 2 * (1 + 2)),
        # An odd padding turns that round.
        ((3, 3), 5, (1, 1), 3 * (1 + 2) + 3 * (2 + 2) + 2 * (2 + 2) + 2 * (4 + 2)),
        ((3, 3), 5, (0, -1), 3 * (2 + 2) + 3 * (4 + 2) + 2 * (1 + 2) + 2 * (2 + 2)),
        # Three of four phases have no tap: only their accumulators are emptied.
        ((1, 1), 4, (0, 0), 2 * (1 + 2) + 3 * 2 * 2),
        # One row: one remainder.
        ((3, 3), 1, (0, 0), 4 + 2),
    ],
)
def test_odd_transposed_convolutions(kernel, side, pad, cycles):
    up = conv((1, side, side, 1), 8, kernel, transposed=True, stride=(2, 2), pad=pad)
    assert busy(up) == 10 + cycles


def test_a_correlation():
    # 30 pixels * ceil(25 / 16) = 60 groups of ceil(17 / 8) * 2 = 6 cycles + 1; twice for int16.
    out = view((1, 3, 10, 25))
    for dtypes, steps in ((("int8", "int8"), 6), (("int16", "int8"), 12), (("int8", "int16"), 12)):
        a, b = (view((1, 3, 10, 17), dtype) for dtype in dtypes)
        assert busy(instruction(Opcode.correlation, out, a, b=b, reach=2)) == 10 + 60 * (steps + 1)


@pytest.mark.parametrize(("dtype", "steps"), [("int8", 1), ("int16", 2)])
def test_matrix_products(dtype, steps):
    # Rows of 10 pixels in groups of 4; 2 heads of 17 outputs, in groups of 16, that read 9 inputs,
    # in groups of 8: 3 * 3 * 2 * 2 groups of 2 steps and 2 cycles.
    out, a, b = view((1, 3, 10, 34)), view((1, 3, 10, 18), dtype), view((1, 1, 17, 18))
    found = busy(instruction(Opcode.matmul, out, a, b=b, transposed=True))
    assert found == 10 + 36 * (2 * steps + 2)
    a, b = view((1, 3, 10, 18), dtype), view((1, 1, 9, 34))
    assert busy(instruction(Opcode.matmul, out, a, b=b)) == 10 + 36 * (2 * steps + 2)


def test_units_that_go_by_pixels_and_bytes():
    a, out = view((1, 2, 3, 4)), view((1, 2, 3, 4), "int32")
    # 6 pixels * 1 + 96 bytes / 4
    assert busy(instruction(Opcode.rescale, out, a)) == 3 + 6 + 24
    assert busy(instruction(Opcode.add, out, a, b=a)) == 3 + 6 + 24
    # 6 pixels * 2 + 24 bytes / 8, whatever the size of the map
    flow = view((1, 2, 3, 2), "int16")
    assert busy(instruction(Opcode.warp, a, view((1, 5, 5, 4)), b=flow)) == 4 + 12 + 3
    # 96 bytes / 32
    assert busy(instruction(Opcode.copy, out, out)) == 2 + 3


def test_operands_that_sram_delivers_too_slowly():
    # 1 * 1 * 1 group of 2 steps + 2 cycles, but 4 + 2 * 4 * 9 + 4 * 2 + 32 bytes.
    machine = replace(MACHINE, sram_bytes_per_cycle=1)
    out, a, b = view((1, 1, 4, 1)), view((1, 1, 4, 9), "int16"), view((1, 1, 4, 1), "int16")
    one = instruction(Opcode.conv, out, a, b=b, weight=view((1, 1, 1, 32)))
    assert busy(one) == 10 + 1 * (2 * 2 + 2)
    assert busy(one, machine) == 10 + 4 + 72 + 8 + 32
    rescale = instruction(Opcode.rescale, view((1, 2, 3, 4), "int32"), view((1, 2, 3, 4)))
    assert busy(rescale, machine) == 3 + 96 + 24
    # Loads and stores go by their own rates.
    assert busy(load(64), machine) == busy(load(64))


def test_workers_share_the_work_and_not_the_startup():
    machine = replace(MACHINE, workers=4)
    assert busy(conv((2, 3, 10, 20), 17, (3, 3)), machine) == 10 + 36 * 29 / 4
    slow = replace(machine, sram_bytes_per_cycle=1)
    rescale = instruction(Opcode.rescale, view((1, 2, 3, 4), "int32"), view((1, 2, 3, 4)))
    assert busy(rescale, slow) == 3 + (96 + 24) / 4
    # A load of 64 bytes that its unit limits: 64 cycles by one worker, 16 s on the bus.
    assert busy(load(64), with_unit(MACHINE, "load", bytes_per_cycle=1)) == 5 + 64
    assert busy(load(64), with_unit(machine, "load", bytes_per_cycle=1)) == 5 + 16


def test_the_clock_does_not_change_the_bus():
    machine = replace(MACHINE, clock_hz=2)
    assert busy(conv((2, 3, 10, 20), 17, (3, 3)), machine) == (10 + 36 * 29) / 2
    assert busy(load(64), machine) == 5 / 2 + 16


def test_loads_and_stores_take_whole_bursts_of_the_core_s_share():
    assert busy(load(64)) == 5 + 64 / 4
    assert busy(load(65)) == 5 + 96 / 4
    assert busy(store(64)) == 7 + 64 / 4
    assert busy(store(64), cores=1) == 7 + 64 / 8
    # 3 channels of 8: every of the 6 pixels is a burst.
    pixel = view((1, 2, 3, 3), space=Space.ddr, strides=(48, 24, 8, 1))
    assert busy(instruction(Opcode.load, view((1, 2, 3, 3)), pixel)) == 5 + 6 * 32 / 4
    # Pixels of the load unit: 6 * 100 cycles are more.
    machine = with_unit(MACHINE, "load", pixel_cycles=100)
    assert busy(instruction(Opcode.load, view((1, 2, 3, 3)), pixel), machine) == 5 + 600 + 18 / 16


def test_what_costs_the_same_is_computed_once():
    costs = Costs(MACHINE, 1)
    first = costs.of(conv((2, 3, 10, 20), 17, (3, 3), pad=(1, 1)))
    assert costs.of(conv((2, 3, 10, 20), 17, (3, 3), layer="other", stride=(2, 2))) is first
    assert costs.of(conv((2, 3, 10, 20), 17, (3, 3), dtype="int16")) is not first


def variants() -> list[Instruction]:
    """Instructions that differ in one thing each, and so in what they cost."""
    base = conv((2, 3, 10, 4), 17, (3, 3))
    residual = view((2, 3, 10, 4))
    up = conv((1, 5, 5, 1), 8, (3, 3), transposed=True, stride=(2, 2))
    wide, narrow = view((1, 2, 3, 3), "int16"), view((1, 2, 3, 3))
    gaps = (48, 24, 8, 1)
    return [
        base,
        replace(base, kernel=(1, 3)),
        replace(base, weight_layout=WeightLayout.rows),
        replace(base, weight_layout=WeightLayout.depthwise),
        replace(base, out=view((2, 3, 10, 4), "int16")),
        replace(base, out=view((2, 3, 12, 4))),
        replace(base, a=view((2, 3, 10, 17), "int16")),
        replace(base, a=view((2, 3, 10, 33))),
        replace(base, b=residual),
        replace(base, b=replace(residual, dtype=DataType.int16)),
        replace(base, weight=view((1, 1, 1, 128))),
        up,
        replace(up, pad=(1, 1)),
        replace(up, stride=(3, 3)),
        instruction(Opcode.rescale, wide, narrow),
        instruction(Opcode.copy, wide, wide),
        load(65),
        load(97),
        store(65),
        instruction(Opcode.load, narrow, replace(narrow, space=Space.ddr)),
        instruction(Opcode.load, narrow, view((1, 2, 3, 3), space=Space.ddr, strides=gaps)),
        instruction(
            Opcode.load, replace(narrow, space=Space.ddr), replace(narrow, space=Space.input)
        ),
        instruction(Opcode.store, view((1, 2, 3, 3), space=Space.ddr, strides=gaps), narrow),
        instruction(
            Opcode.store,
            view((1, 2, 3, 3), space=Space.output, strides=gaps),
            view((1, 2, 3, 3), space=Space.ddr, strides=gaps),
        ),
    ]


def test_only_what_costs_the_same_is_taken_for_the_same():
    machine = replace(MACHINE, sram_bytes_per_cycle=0.125)
    shared = Costs(machine, 2)
    for one in variants():
        found, expected = shared.of(one), Costs(machine, 2).of(one)
        for name in found.__slots__:
            assert getattr(found, name) == getattr(expected, name), one


def test_facts_beside_the_times():
    cost = Costs(MACHINE, 2).of(conv((2, 3, 10, 20), 17, (3, 3), dtype="int16"))
    assert (cost.macs, cost.array, cost.wide) == (60 * 20 * 17 * 9, "conv", True)
    assert (cost.pixels, cost.written, cost.moved, cost.bus) == (60, 1200, 0, 0)
    assert cost.touched == 1200 + 60 * 17 * 2 + 64
    moved = Costs(MACHINE, 2).of(store(65))
    assert (moved.macs, moved.array, moved.moved, moved.touched) == (0, None, 65, 0)
    assert (moved.startup, moved.duration, moved.bus) == (7, 24, 24)
