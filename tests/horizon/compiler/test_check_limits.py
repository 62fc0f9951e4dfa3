"""What a machine cannot carry out: every limit at its edge, units, types, memory, sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from horizon.compiler import compile_program
from horizon.compiler.check import Check, check_graph
from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.march import Machine, Source, load
from horizon.march.limits import INPUT_TYPES, LIMITS
from tests.horizon.hbir.programs import (
    ONE,
    conv_attributes,
    conv_program,
    one_node,
    pyramid,
    tensor,
)

RATIO = {"multiplier": ONE, "shift": 33, "lo": -128, "hi": 127}
ADD = {"multiplier_a": ONE, "multiplier_b": ONE, "shift": 24, "lo": -128, "hi": 127}


def convolution(op: str = "conv2d", dtype: str = "int8") -> Graph:
    values = {"stride": (1, 2), "padding": (2, 2)}
    if op == "conv2d":
        values["dilation"] = (2, 1)
    weight = conv_attributes(np.random.default_rng(0), op, (17, 3, 5, 6), "int8", False, **values)
    return conv_program(op, (1, 10, 14, 6), weight, dtype, "int8", None)


def correlation() -> Graph:
    x = [tensor(name, (1, 10, 14, 6)) for name in ("a", "b")]
    values = {"max_displacement": 2, **RATIO}
    return one_node("correlation", x, tensor("y", (1, 10, 14, 25)), values)


def warp() -> Graph:
    x = [tensor("a", (1, 10, 14, 6)), tensor("b", (1, 10, 14, 2), "int16")]
    values = {"offset_multiplier": ONE, "offset_shift": 33}
    return one_node("warp", x, tensor("y", (1, 10, 14, 6)), values)


def rescale() -> Graph:
    return one_node("rescale", [tensor("a", (1, 10, 14, 6))], tensor("y", (1, 10, 14, 6)), RATIO)


def add() -> Graph:
    x = [tensor(name, (1, 10, 14, 6)) for name in ("a", "b")]
    return one_node("add", x, tensor("y", (1, 10, 14, 6)), ADD)


def concat() -> Graph:
    x = [tensor("a", (1, 10, 14, 6)), tensor("b", (1, 10, 14, 11))]
    return one_node("concat", x, tensor("y", (1, 10, 14, 17)), {"axis": 3})


def cut() -> Graph:
    values = {"axis": 3, "start": 1, "stop": 4}
    return one_node("slice", [tensor("a", (1, 10, 14, 6))], tensor("y", (1, 10, 14, 3)), values)


def mul() -> Graph:
    values = {"multiplier": 1 << 23, "shift": 31, "lo": -128, "hi": 127}
    a, b = tensor("a", (1, 10, 14, 6)), tensor("b", (1, 1, 1, 6))
    return one_node("mul", [a, b], tensor("y", (1, 10, 14, 6)), values)


def matmul() -> Graph:
    values = {"heads": 1, "transposed": 1, "multiplier": 1 << 23, "shift": 34}
    a, b = tensor("a", (1, 10, 14, 6)), tensor("b", (1, 1, 17, 6))
    values |= {"lo": -128, "hi": 127}
    return one_node("matmul", [a, b], tensor("y", (1, 10, 14, 17)), values)


def transpose() -> Graph:
    a, y = tensor("a", (1, 10, 14, 6)), tensor("y", (1, 2, 3, 140))
    return one_node("transpose", [a], y, {"heads": 1, "size": (2, 3)})


def max_pool() -> Graph:
    values = {"kernel": (3, 5), "stride": (1, 2), "padding": (1, 2), "ceil": 0}
    return one_node("max_pool2d", [tensor("a", (1, 10, 14, 6))], tensor("y", (1, 10, 7, 6)), values)


def adaptive_max_pool() -> Graph:
    x, y = tensor("a", (1, 10, 14, 6)), tensor("y", (1, 2, 7, 6))
    return one_node("adaptive_max_pool2d", [x], y, {"size": (2, 7)})


def lookup() -> Graph:
    table = np.arange(-128, 128).astype(np.int8)[::-1].copy()
    values = {"function": "silu", "table": table}
    return one_node("lookup", [tensor("a", (1, 10, 14, 6))], tensor("y", (1, 10, 14, 6)), values)


def avg_pool() -> Graph:
    values = {"kernel": (3, 5), "stride": (1, 2), "padding": (1, 2), "ceil": 0, "include_pad": 0}
    values |= {"divisor": 0, "multiplier": 1 << 23, "shift": 23, "lo": -128, "hi": 127}
    return one_node("avg_pool2d", [tensor("a", (1, 10, 14, 6))], tensor("y", (1, 10, 7, 6)), values)


def adaptive_avg_pool() -> Graph:
    values = {"size": (2, 7), "multiplier": 1 << 23, "shift": 23, "lo": -128, "hi": 127}
    x, y = tensor("a", (1, 10, 14, 6)), tensor("y", (1, 2, 7, 6))
    return one_node("adaptive_avg_pool2d", [x], y, values)


def resize() -> Graph:
    values = {"up": (2, 1), "down": (1, 1), "bilinear": 1, "align_corners": 0, "exact": 0}
    return one_node("resize", [tensor("a", (1, 10, 14, 6))], tensor("y", (1, 20, 14, 6)), values)


GRAPHS = {
    "conv2d": convolution(),
    "conv_transpose2d": convolution("conv_transpose2d"),
    "correlation": correlation(),
    "warp": warp(),
    "rescale": rescale(),
    "add": add(),
    "mul": mul(),
    "matmul": matmul(),
    "transpose": transpose(),
    "max_pool2d": max_pool(),
    "adaptive_max_pool2d": adaptive_max_pool(),
    "avg_pool2d": avg_pool(),
    "adaptive_avg_pool2d": adaptive_avg_pool(),
    "resize": resize(),
    "lookup": lookup(),
    "concat": concat(),
    "slice": cut(),
}
# Worked out by hand from the shapes above.
VALUES = {
    "kernel": (5, "kernel 3x5"),
    "stride": (2, "stride 1x2"),
    "dilation": (2, "dilation 2x1"),
    "input_channels": (6, "input channels 6"),
    "output_channels": (17, "output channels 17"),
    "weights_per_output": (90, "weights per output 90 (3x5x6)"),
    "height": (10, "height 10"),
    "width": (14, "width 14"),
    "pixels": (140, "pixels 140 (10x14)"),
    "displacement": (2, "displacement 2"),
    "factor": (2, "factor 2"),
}
# Where an operator's are others.
OWN_VALUES = {
    ("adaptive_avg_pool2d", "kernel"): (5, "kernel 5x2"),
    ("adaptive_max_pool2d", "kernel"): (5, "kernel 5x2"),
    ("transpose", "output_channels"): (140, "output channels 140"),
}


def limited(op: str, name: str, value: object) -> Machine:
    return replace(load("edge256"), limits={op: {name: value}})  # type: ignore[dict-item]


def problems(check: Check) -> list[str]:
    return [str(problem) for op in check.ops for problem in op.problems]


@pytest.mark.parametrize(("op", "name"), [(op, name) for op in LIMITS for name in LIMITS[op]])
def test_a_limit_holds_from_its_value_on(op: str, name: str) -> None:
    value, shown = OWN_VALUES.get((op, name), VALUES[name])
    graph = GRAPHS[op]
    assert check_graph(graph, limited(op, name, value)).fits
    compile_program(graph, limited(op, name, value))
    machine = limited(op, name, value - 1)
    check = check_graph(graph, machine)
    assert not check.fits
    (finding,) = check.ops
    (problem,) = finding.problems
    assert (problem.layer, problem.kind, finding.verdict) == ("layer", "limit", "not supported")
    assert problem.found == f"{shown}; edge256 takes at most {value - 1}"
    assert problem.remedy
    with pytest.raises(InputError, match=r"layer layer: .*takes at most") as caught:
        compile_program(graph, machine)
    assert str(problem) in str(caught.value)


@pytest.mark.parametrize("op", LIMITS)
def test_types_that_are_not_taken(op: str) -> None:
    graph = GRAPHS[op]
    assert check_graph(graph, limited(op, INPUT_TYPES, ("int8",))).fits
    check = check_graph(graph, limited(op, INPUT_TYPES, ("int16", "int32")))
    found = [problem.found for problem in check.ops[0].problems]
    first = "x" if "conv" in op else "a"
    assert found[0] == f"input {first} is int8; edge256 takes int16 or int32"
    assert len(found) == (2 if op in ("correlation", "add", "mul", "matmul", "concat") else 1)


def test_types_of_summands_and_offsets_do_not_count() -> None:
    assert check_graph(warp(), limited("warp", INPUT_TYPES, ("int8",))).fits
    values = conv_attributes(np.random.default_rng(0), "conv2d", (8, 3, 3, 4), "int8", True)
    graph = conv_program("conv2d", (1, 6, 6, 4), values, "int8", "int8", "int16")
    assert check_graph(graph, limited("conv2d", INPUT_TYPES, ("int8",))).fits


def test_a_limit_tells_what_it_is_worth() -> None:
    machine = limited("conv2d", "kernel", 3)
    machine = replace(machine, sources={"limits.conv2d.kernel": Source("assumed", "a guess")})
    (finding,) = check_graph(convolution(), machine).ops
    assert finding.problems[0].found == "kernel 3x5; edge256 takes at most 3 (assumed)"
    assert finding.problems[0].remedy.startswith("2 convolutions of at most 3x3")


def test_all_that_is_wrong_with_a_layer_is_told() -> None:
    limits = {"kernel": 3, "stride": 1, "input_types": ("int16",)}
    machine = replace(load("edge256"), limits={"conv2d": limits})
    kinds = [
        problem.found.split()[0] for problem in check_graph(convolution(), machine).ops[0].problems
    ]
    assert sorted(kinds) == ["input", "kernel", "stride"]


@pytest.mark.parametrize(("kernel", "fits"), [(256, True), (257, False)])
def test_no_program_has_a_kernel_above_256(kernel: int, fits: bool) -> None:
    rng = np.random.default_rng(0)
    values = conv_attributes(rng, "conv2d", (1, 1, kernel, 1), "int8", False, padding=(0, 0))
    graph = conv_program("conv2d", (1, 1, 300, 1), values, "int8", "int8", None)
    check = check_graph(graph, load("host"))
    assert check.fits == fits
    if not fits:
        assert "kernel 1x257; programs have at most 256" in problems(check)[0]


UNITS = {
    "conv2d": "tensor",
    "conv_transpose2d": "tensor",
    "correlation": "tensor",
    "matmul": "tensor",
    "warp": "aux",
    "rescale": "vector",
    "add": "vector",
}


def without(unit: str) -> Machine:
    edge = load("edge256")
    return replace(edge, units=tuple(name for name in edge.units if name != unit))


@pytest.mark.parametrize(("op", "unit"), UNITS.items())
def test_a_missing_unit(op: str, unit: str) -> None:
    check = check_graph(GRAPHS[op], without(unit))
    (problem,) = check.ops[0].problems
    assert problem.kind == "unit"
    assert problem.found.startswith(f"{op} needs unit {unit}; machine edge256 has load, store,")
    assert "bayes-e" in problem.remedy
    with pytest.raises(InputError, match=f"layer layer: {op} needs unit {unit}"):
        compile_program(GRAPHS[op], without(unit))


def test_the_compiler_s_error_counts_the_other_layers() -> None:
    with pytest.raises(InputError) as caught:
        compile_program(pyramid(), without("tensor"))
    text = str(caught.value)
    assert text.startswith("layer down.0: conv2d needs unit tensor; machine edge256 has")
    assert text.endswith(
        "3 more layers cannot be carried out either; model_checker.py lists all that does not fit"
    )
    with pytest.raises(InputError) as caught:
        compile_program(pyramid(), without("aux"))
    assert "cannot be carried out either" not in str(caught.value)


def shared_slice() -> Graph:
    """A tensor in two concats: one of them has to copy it."""
    x = tensor("x", (1, 4, 4, 8))
    made = [tensor(name, (1, 4, 4, 8)) for name in ("a", "b", "c")]
    joined = [tensor(name, (1, 4, 4, 16)) for name in ("ab", "ac")]
    ends = [tensor(name, (1, 4, 4, 16)) for name in ("y", "z")]
    shift = [{**RATIO, "shift": 33 + place} for place in range(3)]
    nodes = (
        *(Node("rescale", t.name, ("x",), t.name, v) for t, v in zip(made, shift, strict=True)),
        Node("concat", "join ab", ("a", "b"), "ab", {"axis": 3}),
        Node("concat", "join ac", ("a", "c"), "ac", {"axis": 3}),
        Node("rescale", "y", ("ab",), "y", RATIO),
        Node("rescale", "z", ("ac",), "z", RATIO),
    )
    infos = {t.name: t for t in (x, *made, *joined, *ends)}
    return Graph("shared", infos, nodes, ("x",), ("y", "z"), {})


def test_a_copy_needs_its_unit_only_where_it_stays_in_sram() -> None:
    machine = without("transform")
    assert check_graph(shared_slice(), machine, opt="O1").fits
    compile_program(shared_slice(), machine, "O1")
    check = check_graph(shared_slice(), machine, opt="O2")
    found = {op.name: op.problems for op in check.ops if op.problems}
    assert list(found) == ["join ab"]
    assert found["join ab"][0].found.startswith("copy needs unit transform")
    with pytest.raises(InputError, match="layer join ab: copy needs unit transform"):
        compile_program(shared_slice(), machine, "O2")


@pytest.mark.parametrize(("sram_bytes", "fits"), [(448, False), (512, True)])
def test_the_smallest_tile_of_a_convolution(sram_bytes: int, fits: bool) -> None:
    """1x1, 20 inputs, 16 outputs: one pixel's 20 bytes and 16 outputs take a line of 64 each,
    the weights 16 x 20 bytes: 64 + 64 + 320 = 448 in lines of 64."""
    rng = np.random.default_rng(0)
    values = conv_attributes(rng, "conv2d", (16, 1, 1, 20), "int8", False, padding=(0, 0))
    graph = conv_program("conv2d", (1, 8, 8, 20), values, "int8", "int8", None)
    machine = replace(load("edge256"), sram_bytes=sram_bytes - 64)
    check = check_graph(graph, machine)
    assert check.fits == fits
    if not fits:
        (problem,) = check.ops[0].problems
        assert problem.kind == "memory"
        assert "smallest tile needs 448 bytes of SRAM; machine edge256 has 384" in problem.found


def test_all_layers_that_do_not_fit_are_listed() -> None:
    check = check_graph(pyramid(), replace(load("edge256"), sram_bytes=128))
    names = [op.name for op in check.ops if op.problems]
    assert {"down.0", "corr", "predict", "warp", "up"} <= set(names)
    with pytest.raises(InputError, match=f"layer {names[0]}: .* {len(names) - 1} more layers"):
        compile_program(pyramid(), replace(load("edge256"), sram_bytes=128))


def test_a_machine_that_cuts_nothing_needs_all_tensors_at_a_time() -> None:
    need = compile_program(pyramid(), load("host")).program.sram_bytes
    assert check_graph(pyramid(), replace(load("host"), sram_bytes=need)).fits
    check = check_graph(pyramid(), replace(load("host"), sram_bytes=need - 64))
    (text,) = problems(check)
    assert f"need {need} bytes at a time; machine host has {need - 64}: too little memory" in text


@pytest.mark.parametrize(
    ("size", "checked", "fits"), [((12, 16), (12, 16), True), ((9, 13), (12, 16), False)]
)
def test_sizes_are_multiples(size: tuple[int, int], checked: tuple[int, int], fits: bool) -> None:
    check = check_graph(pyramid(), load("host"), size)
    assert (check.size, check.fits) == (checked, fits)
    assert check.graph.tensors["img"].shape == (1, *checked, 6)
    if not fits:
        (problem,) = check.problems
        assert problem.found == "images of 9x13 (height x width); programs take multiples of 4"
        assert "12x16" in problem.remedy
        assert not problems(check)


@pytest.mark.parametrize("size", [(0, 8), (8, -4)])
def test_sizes_without_meaning(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="expected positive numbers"):
        check_graph(pyramid(), load("host"), size)


def test_a_larger_image_meets_the_limit_of_the_map() -> None:
    """The warp works at half size: 4x6 of 8x12."""
    machine = limited("warp", "pixels", 24)
    check = check_graph(pyramid(), machine)
    assert check.fits
    near = check.nearest_limit
    assert near is not None
    assert (near.name, near.layer, near.value, near.limit) == ("pixels", "warp", 24, 24)
    check = check_graph(pyramid(), machine, (8, 16))
    assert [op.name for op in check.ops if op.problems] == ["warp"]
    assert problems(check)[0].startswith("pixels 32 (4x8); edge256 takes at most 24")


def test_the_nearest_limit_goes_by_the_side_of_the_image() -> None:
    """A quarter of the pixels is half of the side, which is nearer than a third of the width."""
    limits = {"conv2d": {"pixels": 4 * 96, "width": 36}}
    near = check_graph(pyramid(), replace(load("edge256"), limits=limits)).nearest_limit
    assert near is not None
    assert (near.name, near.layer, near.value) == ("pixels", "down.0", 96)


def test_tensors_that_nothing_can_hold() -> None:
    with pytest.raises(InputError, match=r"tensor img of shape .* is too large"):
        check_graph(pyramid(), load("edge256"), (2**24, 2**24))


def test_outputs_are_named_once() -> None:
    twice = replace(pyramid(), outputs=("out", "out"))
    with pytest.raises(InputError, match=r"outputs .* are there twice"):
        check_graph(twice, load("host"))
