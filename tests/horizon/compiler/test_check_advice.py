"""Advice whose figures are worked out by hand, on a machine of round numbers.

A cycle is a microsecond, there are no startups, and memory is endlessly fast unless a test says
otherwise. A step takes one cycle for 4 pixels x 8 inputs x 16 outputs; in the array for few
outputs 4 x 8 x 4, of correlations 1 x 8 x 16.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from horizon.compiler.check import Advice, check_graph
from horizon.compiler.check.arrays import columns_used
from horizon.compiler.check.layer import whole_instruction
from horizon.compiler.layout import place_tensors
from horizon.compiler.tasks import list_tasks
from horizon.hbir import Graph, Node
from horizon.hbir.node import TensorInfo
from horizon.hbm.records import DataType
from horizon.march import Array, Machine, SimpleUnit, TensorUnit, load
from tests.horizon.hbir.programs import ONE, conv_attributes, conv_program, tensor

FREE = SimpleUnit(0.0, 0.0, 1e12)
MACHINE = replace(
    load("edge256"),
    clock_hz=1e6,
    sram_bytes=2**24,
    sram_bytes_per_cycle=1e12,
    ddr_bytes_per_second=1e15,
    ddr_efficiency=1.0,
    tensor=TensorUnit(0, 3, Array(4, 8, 16, 1, 0), Array(4, 8, 4, 1, 0), Array(1, 8, 16, 1, 0)),
    simple=dict.fromkeys(("load", "store", "vector", "aux", "transform"), FREE),
)
RELU = {"multiplier": ONE, "shift": 33, "lo": 0, "hi": 127}


class Net:
    """A program written layer by layer."""

    def __init__(self, shape: Any, dtype: str = "int8") -> None:
        self.tensors = {"x": tensor("x", shape, dtype)}
        self.nodes: list[Node] = []
        self.inputs = ["x"]

    def input(self, name: str, shape: Any, dtype: str = "int8") -> str:
        self.tensors[name] = tensor(name, shape, dtype)
        self.inputs.append(name)
        return name

    def add(self, name: str, op: str, inputs: Any, info: TensorInfo, values: dict) -> str:
        self.tensors[name] = info
        self.nodes.append(Node(op, name, tuple(inputs), name, values))
        return name

    def conv(self, name: str, source: str, outputs: int, kernel: int = 1, **values: Any) -> str:
        n, h, w, c = self.tensors[source].shape
        out = values.pop("out", "int8")
        groups = values.get("groups", 1)
        values.setdefault("padding", (kernel // 2, kernel // 2))
        rng = np.random.default_rng(len(self.nodes))
        shape = (outputs, kernel, kernel, c // groups)
        made = conv_attributes(rng, "conv2d", shape, out, False, **values)
        made["weight"] = np.sign(made["weight"]).astype(np.int8)
        sides = []
        for axis, side in enumerate((h, w)):
            reach = made["dilation"][axis] * (kernel - 1) + 1
            sides.append((side + 2 * made["padding"][axis] - reach) // made["stride"][axis] + 1)
        return self.add(name, "conv2d", [source], tensor(name, (n, *sides, outputs), out), made)

    def concat(self, name: str, *sources: str) -> str:
        first = self.tensors[sources[0]]
        channels = sum(self.tensors[source].shape[3] for source in sources)
        info = tensor(name, (*first.shape[:3], channels), first.dtype)
        return self.add(name, "concat", sources, info, {"axis": 3})

    def graph(self, *outputs: str, multiple: int = 1) -> Graph:
        attributes: dict[str, str | int] = {"size_multiple": multiple}
        inputs = tuple(self.inputs)
        return Graph("net", self.tensors, tuple(self.nodes), inputs, outputs, attributes)


def advice(graph: Graph, kind: str, machine: Machine = MACHINE, opt: str = "O2") -> list[Advice]:
    return [one for one in check_graph(graph, machine, opt=opt).advice if one.kind == kind]


def us(seconds: float) -> Any:
    """In microseconds, that is in cycles."""
    return pytest.approx(seconds * 1e6, rel=1e-6)


def test_a_few_inputs_too_many() -> None:
    """16 pixels in 4 groups; 17 inputs in 3 groups of 8: 12 cycles, 16 inputs 8."""
    net = Net((1, 4, 4, 16))
    net.conv("first", "x", 17)
    net.conv("last", "first", 16)
    found = {one.layers[0]: one for one in advice(net.graph("last"), "inputs")}
    assert list(found) == ["last"]
    assert found["last"].found == "17 inputs use 3 of 3 groups of 8: 71 %"
    assert found["last"].change == "16 inputs, 1 fewer, take 2 groups"
    assert us(found["last"].gain) == 4


def test_room_for_more_inputs() -> None:
    """13 of 16 lanes: 8 cycles, of which 3/16 are lost; too many to give 5 up."""
    net = Net((1, 4, 4, 16))
    net.concat("joined", net.conv("a", "x", 9), net.conv("b", "a", 4))
    net.conv("last", "joined", 16)
    (found,) = (one for one in advice(net.graph("last"), "inputs") if one.layers == ("last",))
    assert found.found == "13 inputs (9 + 4) use 2 of 2 groups of 8: 81 %"
    assert found.change == "up to 16 inputs take the same time"
    assert us(found.gain) == 8 * 3 / 16


def test_channels_of_images_are_as_they_are() -> None:
    net = Net((1, 4, 4, 3))
    net.conv("first", "x", 16)
    assert not advice(net.graph("first"), "inputs")


def test_a_few_outputs_too_many() -> None:
    """18 outputs: 2 groups, 4 x 2 cycles; 16 half of them."""
    net = Net((1, 4, 4, 8))
    net.conv("first", "x", 18)
    (found,) = advice(net.graph("first"), "outputs")
    assert found.found == "18 outputs use 2 of 2 groups of 16: 56 %"
    assert found.change == "16 outputs, 2 fewer, take 1 group"
    assert us(found.gain) == 4


def test_few_outputs_of_many_inputs() -> None:
    """In the array for few outputs: 24 inputs are 3 groups x 4 groups of pixels x 9 taps = 108
    cycles, each group of inputs 36; half of the 4 outputs are not there: 54 are lost."""
    net = Net((1, 4, 4, 24))
    net.conv("flow", "x", 2, 3)
    (found,) = advice(net.graph("flow"), "outputs")
    assert found.found.startswith("2 outputs use 1 of 1 groups of 4: 50 %, in the array for few")
    assert "each 8 of its 24 inputs take 36 us" in found.change
    assert us(found.gain) == 54


def test_layers_that_could_be_one() -> None:
    net = Net((1, 4, 4, 8))
    net.conv("one", "x", 8)
    net.conv("two", "x", 8)
    net.conv("other kernel", "x", 8, 3)
    found = {one.layers[0]: one.change for one in advice(net.graph(*net.tensors), "outputs")}
    assert found["one"] == "one layer for it and two, with the same input and kernel"
    assert found["two"] == "one layer for it and one, with the same input and kernel"
    assert found["other kernel"] == "up to 16 outputs take the same time"


def correlation(reach: int) -> Graph:
    net = Net((1, 4, 4, 8))
    net.input("z", (1, 4, 4, 8))
    outputs = (2 * reach + 1) ** 2
    values = {"max_displacement": reach, **RELU}
    net.add("cost", "correlation", "xz", tensor("cost", (1, 4, 4, outputs)), values)
    return net.graph("cost")


def test_displacements_that_need_one_more_group() -> None:
    """81 outputs take 6 groups of 16, 49 take 4: 16 pixels x 2 groups are saved."""
    (found,) = advice(correlation(4), "outputs")
    assert found.found == "81 outputs use 6 of 6 groups of 16: 84 %"
    assert found.change == "displacements up to 3, not 4, give 49 outputs"
    assert us(found.gain) == 32


def test_displacements_without_a_smaller_choice() -> None:
    assert not advice(correlation(0), "outputs")


def test_int16_inputs() -> None:
    """Three steps for one: 4 groups of pixels x 9 taps x 3 = 108 cycles instead of 36."""
    net = Net((1, 4, 4, 8))
    net.conv("flow", "x", 8, out="int16")
    net.conv("next", "flow", 16, 3)
    (found,) = advice(net.graph("next"), "int16")
    assert found.layers == ("next",)
    assert found.found == "int16 inputs take 3 steps for one of int8"
    assert found.change == "int8 for the output of flow, if its precision allows"
    assert us(found.gain) == 72


def test_a_large_kernel() -> None:
    """7x7: 4 x 49 = 196 cycles; three of 3x3 with 8 and then 16 inputs: 36 + 72 + 72."""
    net = Net((1, 4, 4, 8))
    net.conv("wide", "x", 16, 7)
    (found,) = advice(net.graph("wide"), "kernel")
    assert found.found == "kernel 7x7: 49 taps"
    assert found.change == "3 layers of 3x3 see as far with 27 taps"
    assert us(found.gain) == 16


@pytest.mark.parametrize("kernel", [1, 3])
def test_kernels_that_are_small(kernel: int) -> None:
    net = Net((1, 4, 4, 8))
    net.conv("small", "x", 16, kernel)
    assert not advice(net.graph("small"), "kernel")


def test_groups() -> None:
    """4 convolutions of 2 inputs and 9 outputs: 4 x 4 x 9 cycles. All at once: 4 x 1 x 3 x 9."""
    net = Net((1, 4, 4, 8))
    net.conv("grouped", "x", 36, 3, groups=4)
    check = check_graph(net.graph("grouped"), MACHINE)
    (op,) = check.ops
    assert (op.name, op.note, op.verdict) == ("grouped", "4 convolutions", "slow")
    assert us(op.seconds) == 144
    assert op.macs == 16 * 9 * 2 * 36
    (found,) = check.advice
    assert (found.kind, found.layers) == ("groups", ("grouped",))
    assert (
        "4 groups are 4 convolutions of 2 inputs and 9 outputs, which use 14 % of the array: 144 us"
        in found.found
    )
    assert found.change == "one that mixes all channels takes 108 us"
    assert us(found.gain) == 36


def test_groups_that_share_a_convolution() -> None:
    """2 convolutions of 8 inputs and 16 outputs, of whose products a quarter counts."""
    net = Net((1, 4, 4, 16))
    net.conv("grouped", "x", 32, 3, groups=8)
    check = check_graph(net.graph("grouped"), MACHINE)
    (op,) = check.ops
    assert (op.note, op.macs) == ("2 convolutions", 16 * 9 * 2 * 32)
    assert us(op.seconds) == 2 * 4 * 9
    assert op.utilisation == pytest.approx(1 / 4)
    assert not check.advice


def test_depthwise() -> None:
    """20 outputs of an input each: 4 groups of pixels x 2 of outputs x 9 taps."""
    net = Net((1, 4, 4, 20))
    net.conv("depthwise", "x", 20, 3, groups=20)
    check = check_graph(net.graph("depthwise"), MACHINE)
    (op,) = check.ops
    assert (op.note, op.macs) == ("", 16 * 9 * 20)
    assert us(op.seconds) == 4 * 2 * 9
    (found,) = check.advice
    assert found.change == "16 outputs, 4 fewer, take 1 group"


def test_rows_that_leave_pixels_over() -> None:
    """Images 10 wide: rows of 5 take 2 groups of 4, 5/8 used. 16 wide: 8, all used. Per pixel 3/8
    are saved of 4 rows x 2 groups."""
    net = Net((1, 8, 10, 8))
    net.conv("half", "x", 16, stride=(2, 2))
    (found,) = advice(net.graph("half", multiple=2), "rows")
    assert found.layers == ("half",)
    assert "at half 5 columns use 62 % of groups of 4" in found.found
    assert found.change == "images 8 wide instead of 10 take less time for as many pixels"
    assert us(found.gain) == 3


def test_rows_that_fit() -> None:
    net = Net((1, 8, 16, 8))
    net.conv("half", "x", 16, stride=(2, 2))
    assert not advice(net.graph("half", multiple=2), "rows")


@pytest.mark.parametrize(("width", "used"), [(3, 0.75), (4, 1.0), (5, 5 / 8)])
def test_rows_of_a_transposed_convolution_are_those_of_its_phases(width: int, used: float) -> None:
    """Stride 2: every other column of the output has the same taps, ``width`` of them."""
    values = {"stride": (2, 2), "padding": (1, 1)}
    rng = np.random.default_rng(0)
    weight = conv_attributes(rng, "conv_transpose2d", (8, 4, 4, 8), "int8", False, **values)
    graph = conv_program("conv_transpose2d", (1, 4, width, 8), weight, "int8", "int8", None)
    tasks = list_tasks(place_tensors(graph, True, False, DataType.int8))
    whole = whole_instruction(graph, tasks[0])
    assert whole.out.shape == (1, 8, 2 * width, 8)
    assert columns_used(whole, Array(4, 8, 16, 1, 0)) == used


def test_the_same_of_several_layers_is_said_once_and_ordered() -> None:
    net = Net((1, 8, 8, 16))
    source = net.conv("small", "x", 12, stride=(2, 2))
    source = net.conv("a", "x", 12)
    source = net.conv("b", source, 12, 3)
    found = check_graph(net.graph("b", "small"), MACHINE).advice
    gains = [one.gain for one in found]
    assert gains == sorted(gains, reverse=True)
    (outputs,) = (one for one in found if one.kind == "outputs" and len(one.layers) > 1)
    assert outputs.layers == ("b", "a", "small")
    assert outputs.by_layer["small"] == pytest.approx(outputs.by_layer["a"] / 4)
    assert sum(outputs.by_layer.values()) == pytest.approx(outputs.gain)


def test_little_gains_are_left_out() -> None:
    """A layer of 1/144 of the other's time."""
    net = Net((1, 16, 16, 16))
    net.conv("large", "x", 64, 3)
    net.conv("little", "x", 15, stride=(2, 2))
    check = check_graph(net.graph("large", "little"), MACHINE)
    assert not check.advice
    assert all(op.verdict == "supported" for op in check.ops)


def test_advice_comes_from_numbers_and_not_from_the_name() -> None:
    net = Net((1, 4, 4, 16))
    net.conv("first", "x", 18)
    named = replace(MACHINE, name="bernoulli2", title="something else")
    assert (
        check_graph(net.graph("first"), named).advice
        == check_graph(net.graph("first"), MACHINE).advice
    )


def test_time_and_utilisation_of_an_op() -> None:
    """4 groups of pixels x 2 of inputs x 9 taps; 12 of 16 inputs, 16 of 16 outputs."""
    net = Net((1, 4, 4, 12))
    net.conv("layer", "x", 16, 3)
    (op,) = check_graph(net.graph("layer"), MACHINE).ops
    assert us(op.seconds) == 72
    assert op.utilisation == pytest.approx(12 / 16)
    assert (op.bounded_by, op.macs) == ("tensor", 16 * 9 * 12 * 16)
    assert op.inputs == ("1x4x4x12 int8",)
    assert op.output == "1x4x4x16 int8"


def chain(middle: int, kernel: int = 3) -> Graph:
    net = Net((1, 8, 8, 16))
    net.conv("last", net.conv("first", "x", middle, kernel), 16, kernel)
    return net.graph("last")


def test_a_change_saves_what_it_says() -> None:
    """33 channels between two layers, and 32: one output group less here, one input group there."""
    check = check_graph(chain(33), MACHINE)
    gains = {one.kind: one.gain for one in check.advice}
    assert gains.keys() == {"inputs", "outputs"}
    changed = check_graph(chain(32), MACHINE)
    assert check.seconds - changed.seconds == pytest.approx(sum(gains.values()))
    assert not changed.advice


def test_what_sram_delays_does_not_gain_by_full_lanes() -> None:
    """16 x 9 x 16 weights alone take longer from SRAM, a byte a cycle, than the array computes."""
    net = Net((1, 4, 4, 16))
    net.conv("layer", "x", 12, 3)
    graph = net.graph("layer")
    assert advice(graph, "outputs")
    slow = replace(MACHINE, sram_bytes_per_cycle=1.0)
    assert not advice(graph, "outputs", slow)
    assert us(check_graph(graph, slow).seconds) == 16 * 16 + 16 * 9 * 16 + 16 * 12


def test_what_does_not_fit_gets_no_advice() -> None:
    net = Net((1, 8, 8, 16))
    net.conv("b", net.conv("a", "x", 12), 12, 3)
    graph = net.graph("b")
    (both,) = advice(graph, "outputs")
    assert set(both.layers) == {"a", "b"}
    machine = replace(MACHINE, limits={"conv2d": {"kernel": 1}})
    (one,) = advice(graph, "outputs", machine)
    assert one.layers == ("a",)
    assert one.gain == pytest.approx(both.by_layer["a"])


def test_a_program_without_layers() -> None:
    net = Net((1, 4, 4, 8))
    for name in ("host", "edge256"):
        check = check_graph(net.graph("x"), load(name))
        assert check.fits
        assert check.ops == check.advice == ()
