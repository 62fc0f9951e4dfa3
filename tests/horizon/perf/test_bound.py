"""Bounds of a few instructions, worked out by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from horizon.hbm.records import Instruction, Opcode, WeightLayout
from horizon.march import Machine
from horizon.perf.bound import bound, peak, tensor_seconds
from horizon.perf.cost import Costs
from tests.horizon.perf.examples import MACHINE, conv, instruction, load, store, view, with_unit


def bounded(*steps: Instruction, machine: Machine = MACHINE, cores: int = 2) -> tuple[float, str]:
    """The bound, rounded: it may be given a little less than the formula's value."""
    costs = Costs(machine, cores)
    seconds, limit = bound(machine, cores, Counter(costs.of(one) for one in steps))
    return pytest.approx(seconds, rel=2e-7), limit


def test_peaks():
    assert peak(MACHINE, "conv") == 512
    assert peak(MACHINE, "conv", wide=True) == 256
    assert peak(MACHINE, "narrow") == 64
    assert peak(MACHINE, "correlation") == 8 * 16 / 2
    assert peak(replace(MACHINE, workers=3, clock_hz=5), "conv") == 512 * 15


def test_products_at_the_peak_of_their_array():
    # Neither what is left over of the array, nor draining, nor startups.
    macs = 60 * 20 * 17 * 9
    assert bounded(conv((2, 3, 10, 20), 17, (3, 3))) == (macs / 512, "tensor")
    assert bounded(conv((2, 3, 10, 20), 17, (3, 3), dtype="int16")) == (macs / 256, "tensor")
    narrow = conv((2, 3, 10, 4), 17, (3, 3), weight_layout=WeightLayout.rows)
    assert bounded(narrow) == (60 * 4 * 17 * 9 / 64, "tensor")
    # Different arrays of one unit take turns.
    both = bounded(narrow, conv((2, 3, 10, 20), 17, (3, 3)))
    assert both == (60 * 4 * 17 * 9 / 64 + macs / 512, "tensor")


def test_bytes_at_the_core_s_share_of_the_bandwidth():
    # Without rounding up to bursts; loads and stores share it.
    assert bounded(load(65), store(5)) == (70 / 4, "ddr")
    assert bounded(load(65), store(5), cores=1) == (70 / 8, "ddr")


@pytest.mark.parametrize(
    ("steps", "machine", "expected"),
    [
        ([load(64)] * 2, with_unit(MACHINE, "load", bytes_per_cycle=1), (128, "load")),
        ([store(64)] * 2, with_unit(MACHINE, "store", pixel_cycles=40), (96, "store")),
        (
            [instruction(Opcode.rescale, view((1, 2, 3, 4), "int32"), view((1, 2, 3, 4)))] * 3,
            MACHINE,
            (3 * 6 + 3 * 96 / 4, "vector"),
        ),
        (
            [instruction(Opcode.copy, view((1, 2, 3, 4)), view((1, 2, 3, 4)))],
            MACHINE,
            (24 / 32, "transform"),
        ),
        # The operands of two units: that of the unit with more of them counts.
        (
            [
                conv((1, 1, 4, 1), 9, (1, 1)),  # 4 + 36 + 64 bytes
                instruction(Opcode.copy, view((1, 2, 3, 4)), view((1, 2, 3, 4))),  # 48
            ],
            replace(MACHINE, sram_bytes_per_cycle=1),
            (104, "sram"),
        ),
    ],
)
def test_what_bounds(steps, machine, expected):
    assert bounded(*steps, machine=machine) == expected


def test_workers_and_clock():
    machine = replace(MACHINE, workers=2, clock_hz=4)
    rescale = instruction(Opcode.rescale, view((1, 2, 3, 4)), view((1, 2, 3, 4)))
    assert bounded(rescale, machine=machine) == ((6 + 24 / 4) / 8, "vector")


def test_an_array_that_is_full_reaches_its_bound():
    """8 pixels, 16 inputs and 32 outputs leave nothing over, and nothing starts or drains."""
    tensor = replace(
        MACHINE.tensor, startup_cycles=0, conv=replace(MACHINE.tensor.conv, drain_cycles=0)
    )
    machine = replace(MACHINE, tensor=tensor)
    full = conv((1, 1, 8, 32), 16, (3, 3))
    cost = Costs(machine, 2).of(full)
    assert cost.busy == 8 * 16 * 32 * 9 / 512
    assert bounded(full, machine=machine) == (cost.busy, "tensor")
    assert tensor_seconds(machine, Counter([cost, cost])) == 2 * cost.busy
