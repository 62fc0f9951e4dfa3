"""What the checker passes compiles, and what it refuses does not: one of the two, never neither."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from horizon.compiler import compile_program
from horizon.compiler.check import UNSUPPORTED, Check, as_json, check_graph, counts
from horizon.errors import InputError
from horizon.hbir import Graph
from horizon.hbm.check import check_program
from horizon.march import Machine, load
from horizon.march.limits import INPUT_TYPES, LIMITS, TYPES
from tests.horizon.compiler.checks import LEVELS
from tests.horizon.compiler.random_graphs import random_graph
from tests.horizon.compiler.test_check_advice import Net
from tests.horizon.hbir.programs import ONE, pyramid, tensor


def tight_machine(rng: np.random.Generator) -> Machine:
    """One of the machines with less memory, fewer units or limits near what random graphs have."""
    machine = load(("edge256", "edge256", "host")[rng.integers(3)])
    sram_bytes = int(rng.choice([1024, 4096, 16384, 2**18, 2**20]))
    units = machine.units
    if rng.random() < 0.2:
        gone = rng.choice(["aux", "vector", "transform"])
        units = tuple(unit for unit in units if unit != gone)
    limits: dict[str, Any] = {}
    for op, names in LIMITS.items():
        if rng.random() < 0.1:
            name = str(rng.choice(names))
            limits[op] = {name: int(rng.choice([1, 3, 8, 20, 100]))}
        if rng.random() < 0.05:
            limits[op] = {INPUT_TYPES: tuple(rng.choice(TYPES, 2, replace=False))}
    return replace(machine, sram_bytes=sram_bytes, units=units, limits=limits)


@pytest.mark.parametrize("opt", LEVELS)
def test_checker_and_compiler_agree(opt: str) -> None:
    rng = np.random.default_rng(LEVELS.index(opt))
    passed = refused = 0
    for seed in range(40):
        graph, machine = random_graph(seed, 8), tight_machine(rng)
        check = check_graph(graph, machine, opt=opt)
        try:
            program = compile_program(graph, machine, opt).program
        except InputError as error:
            outcome = str(error)
            refused += 1
        else:
            outcome = ""
            check_program(program, "program")
            assert program.sram_bytes <= machine.sram_bytes
            passed += 1
        assert check.fits == (not outcome), outcome
        if outcome:
            first = outcome.split(":")[0].removeprefix("layer ")
            owners = [op.name for op in check.ops if op.problems]
            assert first in owners or first.split(".group")[0] in owners or check.problems
    assert min(passed, refused) >= 8


@pytest.mark.parametrize("seed", range(20))
def test_every_op_is_there_once_and_counted(seed: int) -> None:
    graph = random_graph(seed, 12)
    check = check_graph(graph, load("bayes-e"))
    assert [op.name for op in check.ops] == [node.name for node in graph.nodes]
    assert sum(counts(check).values()) == len(graph.nodes)
    assert (counts(check)[UNSUPPORTED] == 0 and not check.problems) == check.fits
    staged = set(graph.inputs)
    assert sum(op.seconds for op in check.ops) <= check.seconds * (1 + 1e-9)
    for one in check.advice:
        assert one.gain >= 0.01 * check.seconds
        assert set(one.layers) <= {op.name for op in check.ops} | staged
        assert one.found
        assert one.change


def test_without_warp_unit_each_warp_is_named() -> None:
    check = check_graph(pyramid(), replace(load("bernoulli2"), limits={}))
    assert [op.name for op in check.ops if op.problems] == ["warp"]
    (problem,) = check.ops[9].problems
    assert problem.found.startswith("warp needs unit aux; machine bernoulli2 has load, store, ten")
    assert "warp on the CPU between the parts" in problem.remedy
    assert "host" in problem.remedy
    assert "bernoulli2" not in problem.remedy


def merged() -> Graph:
    """A layer that is there twice, one that nothing needs, a clamp, and a view."""
    net = Net((1, 4, 4, 8))
    ratio = {"multiplier": ONE, "shift": 33, "lo": -128, "hi": 127}
    same = tensor("", (1, 4, 4, 8))
    for name in ("one", "twin", "unused"):
        values = ratio if name != "unused" else {**ratio, "shift": 34}
        net.add(name, "rescale", ["x"], replace(same, name=name), values)
    clamp = {"multiplier": ONE, "shift": 23, "lo": 0, "hi": 100}
    net.add("sum", "add", ("one", "twin"), replace(same, name="sum"), ADD)
    net.add("clamp", "rescale", ["sum"], replace(same, name="clamp"), clamp)
    cut = {"axis": 3, "start": 0, "stop": 4}
    net.add("view", "slice", ["clamp"], tensor("view", (1, 4, 4, 4)), cut)
    net.conv("y", "view", 16)
    return net.graph("y")


ADD = {"multiplier_a": ONE, "multiplier_b": ONE, "shift": 24, "lo": -128, "hi": 127}


def test_how_ops_without_an_instruction_are_carried_out() -> None:
    notes = {op.name: op.note for op in check_graph(merged(), load("edge256")).ops}
    gone = "merged or not needed"
    assert notes == {
        "one": "",
        "twin": gone,
        "unused": gone,
        "sum": "",
        "clamp": gone,
        "view": "view",
        "y": "",
    }


def record(check: Check) -> Any:
    return json.loads(json.dumps(as_json(check), allow_nan=False))


def test_the_record() -> None:
    content = record(check_graph(pyramid(), replace(load("bernoulli2"), limits={}), (12, 16)))
    assert content["machine"] == "bernoulli2"
    assert content["size"] == [12, 16]
    assert content["opt"] == "O2"
    assert content["fits"] is False
    totals = content["totals"]
    assert (totals["ops"], totals["supported"], totals["not_supported"]) == (11, 10, 1)
    assert totals["macs"] == sum(op["macs"] for op in content["ops"])
    bad = [op for op in content["ops"] if op["verdict"] == "not supported"]
    assert [op["name"] for op in bad] == ["warp"]
    assert bad[0]["problems"][0]["kind"] == "unit"
    assert bad[0]["inputs"] == ["1x6x8x5 int8", "1x6x8x2 int16"]
    assert content["nearest_map_limit"] is None
    for one in content["advice"]:
        assert one["gain_share"] == pytest.approx(one["gain_seconds"] / totals["seconds"])


def test_the_record_of_a_wrong_size() -> None:
    content = record(check_graph(pyramid(), load("bayes"), (9, 16)))
    (problem,) = content["problems"]
    assert (problem["kind"], problem["layer"]) == ("size", "")
    assert content["nearest_map_limit"]["maximum"] > content["nearest_map_limit"]["value"]
