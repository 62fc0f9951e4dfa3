"""The record that scripts parse: its fields, and that its sums are those of the estimate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from horizon.hbm.records import Opcode
from horizon.perf import as_json
from horizon.perf.left_out import LEFT_OUT
from tests.horizon.compiler.checks import ROOT, moved
from tests.horizon.perf.reports import on_host, random_estimate, two_cores

ESTIMATES = [random_estimate(2001), two_cores(2003), on_host()]
# Fields of the original record, which others have to find under exactly these names.
FIELDS = {
    "performance": {"FPS", "latency (us)", "latency (ms)", "latency (us) by segments"},
    "DDR access data": {
        "DDR megabytes per run",
        "loaded bytes per run",
        "stored bytes per run",
        "min memory requirement",
        "input memory",
        "output memory",
        "static memory",
        "dynamic memory",
    },
    "interval info": {
        "interval number",
        "interval time (ms)",
        "interval computing unit utilization",
        "interval ddr loading bandwidth (megabytes/s)",
        "interval ddr storing bandwidth (megabytes/s)",
    },
    "model info": {
        "BPU march",
        "BPU core number",
        "version",
        "compiling options",
        "original conv ops",
    },
}
LAYER_FIELDS = {
    "layer name",
    "active period of time",
    "computing cost (no DDR)",
    "load cost",
    "store cost",
    "origin ops",
}


@pytest.fixture(params=ESTIMATES, ids=["tiles", "two cores", "host"])
def found(request):
    return request.param


def test_fields(found):
    record = as_json(found)
    assert list(record) == ["summary", "details"]
    summary = record["summary"]
    assert set(summary) == {*FIELDS, "layer details", "estimate"}
    for name, fields in FIELDS.items():
        assert fields <= set(summary[name]), name
    for layer in summary["layer details"]:
        assert set(layer) >= LAYER_FIELDS
    for core in record["details"]:
        for entry in core:
            assert set(entry) == {
                "inst_type",
                "source_layer_names",
                "start_time (us)",
                "working_time (us)",
            }


def test_json_reads_back_the_same_and_twice_the_same(found):
    record = as_json(found)
    text = json.dumps(record, allow_nan=False)
    assert json.loads(text) == record
    assert json.dumps(as_json(found)) == text
    assert as_json(found, details=False) == {"summary": record["summary"]}


def test_performance(found):
    performance = as_json(found)["summary"]["performance"]
    assert performance["FPS"] == pytest.approx(found.cores / found.latency)
    assert performance["latency (us)"] == pytest.approx(found.latency * 1e6, abs=1e-6)
    assert performance["latency (ms)"] == pytest.approx(found.latency * 1e3, abs=1e-6)
    segments = performance["latency (us) by segments"]
    assert sum(segments) == performance["latency (us)"]


def test_bytes(found):
    program, summary = found.program, as_json(found)["summary"]
    access = summary["DDR access data"]
    loaded, stored = (moved(program, code) for code in (Opcode.load, Opcode.store))
    assert access["loaded bytes per run"] == loaded
    assert access["stored bytes per run"] == stored
    assert access["DDR megabytes per run"] == pytest.approx((loaded + stored) / 1e6, abs=1e-6)
    parts = [access[f"{kind} memory"] for kind in ("input", "output", "static", "dynamic")]
    assert access["min memory requirement"] == sum(parts)
    layers = summary["layer details"]
    assert sum(layer["loaded bytes"] for layer in layers) == loaded
    assert sum(layer["stored bytes"] for layer in layers) == stored


def test_intervals_add_up(found):
    info = as_json(found)["summary"]["interval info"]
    count, seconds = info["interval number"], info["interval time (ms)"] / 1e3
    assert count * seconds == pytest.approx(found.latency)
    for way, total in (("loading", found.loaded), ("storing", found.stored)):
        rates = info[f"interval ddr {way} bandwidth (megabytes/s)"]
        assert len(rates) == count
        assert sum(rates) * 1e6 * seconds == pytest.approx(total, rel=1e-3)
    by_unit = info["interval utilization by unit"]
    for name, unit in (("LOAD", "load"), ("STORE", "store"), ("TAE", "tensor"), ("VPU", "vector")):
        shares = np.array(by_unit.get(name, [0.0] * count))
        assert shares.min() >= 0
        assert shares.max() <= 1
        assert shares.mean() * found.latency == pytest.approx(
            found.busy[unit], abs=6e-5 * found.latency
        )
    assert info["interval computing unit utilization"] == by_unit["TAE"]
    assert max(info["interval MAC utilization"]) <= 1


@pytest.mark.parametrize("seed", [2002, 2003, 2005, 2008])
def test_no_interval_moves_more_than_the_bus(seed):
    found = random_estimate(seed)
    info = as_json(found)["summary"]["interval info"]
    both = np.add(
        info["interval ddr loading bandwidth (megabytes/s)"],
        info["interval ddr storing bandwidth (megabytes/s)"],
    )
    rate = found.machine.ddr_bytes_per_second * found.machine.ddr_efficiency / 1e6
    assert 0 < both.max() <= rate * 1.001


def test_layers(found):
    layers = as_json(found)["summary"]["layer details"]
    assert [layer["layer name"] for layer in layers] == [layer.name for layer in found.layers]
    computing = sum(layer["computing cost (no DDR)"] for layer in layers)
    busy = sum(seconds for unit, seconds in found.busy.items() if unit not in ("load", "store"))
    assert computing == pytest.approx(busy * 1e6, abs=1e-3)
    assert sum(layer["load cost"] for layer in layers) == pytest.approx(
        found.busy["load"] * 1e6, abs=1e-5
    )
    assert sum(layer["store cost"] for layer in layers) == pytest.approx(
        found.busy["store"] * 1e6, abs=1e-5
    )
    for layer in layers:
        start, end = layer["active period of time"]
        assert layer["bound (us)"] <= layer["running time (us)"] + 1e-5 <= end - start + 2e-5
        most = max(layer["load cost"], layer["store cost"], 0)
        assert most <= layer["running time (us)"] + 1e-5
        assert layer["origin ops"]


def test_instructions(found):
    record = as_json(found)
    assert len(record["details"]) == found.cores
    assert all(core == record["details"][0] for core in record["details"])
    entries = record["details"][0]
    assert len(entries) == len(found.program.instructions)
    types = {"LOAD": 0, "STORE": 1, "TAE": 2, "VPU": 3, "AAE": 4, "TRANS": 5}
    for entry, instruction in zip(entries, found.program.instructions, strict=True):
        assert types[entry["inst_type"]] == instruction.unit
        assert entry["source_layer_names"] == [instruction.layer]
    ends = [entry["start_time (us)"] + entry["working_time (us)"] for entry in entries]
    assert max(ends) == pytest.approx(found.latency * 1e6, abs=1e-5)


def test_the_model(found):
    info = as_json(found)["summary"]["model info"]
    assert info["BPU march"] == found.program.march
    assert info["BPU core number"] == found.cores
    convolutions = sum(
        timed.macs
        for one, timed in zip(found.program.instructions, found.instructions, strict=True)
        if one.opcode is Opcode.conv
    )
    assert info["original conv ops"] == 2 * convolutions > 0
    assert f"--opt O{found.program.opt}" in info["compiling options"]


def test_what_our_own_keys_say(found):
    extra = as_json(found)["summary"]["estimate"]
    assert extra["MACs"] == found.macs
    peak = extra["peak MACs per second"]
    assert extra["MAC utilization"] == pytest.approx(found.macs / peak / found.latency, abs=1e-6)
    assert 0 < extra["SRAM live bytes peak"] <= extra["SRAM bytes"]
    sources = [key for key in found.machine.sources if not key.startswith("limits.")]
    assert sum(extra["machine numbers"].values()) == len(sources)
    assert len(extra["left out"]) == len(LEFT_OUT)


def test_the_list_of_what_is_left_out_is_that_of_the_docs():
    text = (ROOT / "docs/performance.md").read_text().split("### What it leaves out")[1]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    found = [tuple(cell.strip().replace("`", "") for cell in row) for row in rows]
    assert found[2:] == list(LEFT_OUT)
