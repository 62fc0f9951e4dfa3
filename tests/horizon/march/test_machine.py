from __future__ import annotations

import re
import tomllib

import pytest

from horizon import march
from horizon.errors import InputError
from horizon.hbir.ops import OPERATORS
from horizon.hbm.records import ALIGNMENT, Unit
from horizon.march.description import FOLDER, SMALLEST_ALIGNMENT
from horizon.march.limits import LIMITS, UNIT_OF_OPERATOR
from horizon.march.table import LARGEST_NUMBER, PROVENANCES
from tests.conftest import ROOT

GOOD = """\
name = "mine"
title = "My accelerator"
units = ["store", "load", "tensor"]
sequential = false
cores = { value = 2, provenance = "published", source = "data sheet, page 3" }
workers = { value = 1, provenance = "assumed", source = "one" }
clock_hz = { value = 1.5e9, provenance = "published", source = "data sheet" }

[memory]
constants_in_place = false
sram_bytes = { value = 524288, provenance = "fitted", source = "largest program that ran" }
alignment = { value = 128, provenance = "assumed", source = "width of its bus" }
sram_bytes_per_cycle = { value = 256, provenance = "assumed", source = "a line" }
ddr_bytes_per_second = { value = 17e9, provenance = "published", source = "data sheet" }
ddr_efficiency = { value = 0.5, provenance = "fitted", source = "a copy" }
burst_bytes = { value = 32, provenance = "published", source = "JEDEC" }

[load]
startup_cycles = { value = 70, provenance = "assumed", source = "latency" }
pixel_cycles = { value = 0, provenance = "assumed", source = "none" }
bytes_per_cycle = { value = 16, provenance = "assumed", source = "a bus" }

[store]
startup_cycles = { value = 80, provenance = "assumed", source = "latency" }
pixel_cycles = { value = 0, provenance = "assumed", source = "none" }
bytes_per_cycle = { value = 12.5, provenance = "assumed", source = "a bus" }

[tensor]
startup_cycles = { value = 0, provenance = "assumed", source = "none" }
int16_steps = { value = 2, provenance = "assumed", source = "two halves" }

[tensor.conv]
pixels = { value = 8, provenance = "assumed", source = "an array" }
inputs = { value = 32, provenance = "assumed", source = "an array" }
outputs = { value = 64, provenance = "assumed", source = "an array" }
step_cycles = { value = 1, provenance = "assumed", source = "an array" }
drain_cycles = { value = 4, provenance = "assumed", source = "an array" }

[tensor.narrow]
pixels = { value = 7, provenance = "assumed", source = "an array" }
inputs = { value = 32, provenance = "assumed", source = "an array" }
outputs = { value = 6, provenance = "assumed", source = "an array" }
step_cycles = { value = 1, provenance = "assumed", source = "an array" }
drain_cycles = { value = 4, provenance = "assumed", source = "an array" }

[tensor.correlation]
pixels = { value = 1, provenance = "assumed", source = "an array" }
inputs = { value = 32, provenance = "assumed", source = "an array" }
outputs = { value = 9, provenance = "assumed", source = "an array" }
step_cycles = { value = 2, provenance = "assumed", source = "an array" }
drain_cycles = { value = 0, provenance = "assumed", source = "an array" }

[limits.conv2d]
input_types = ["int16", "int8"]
kernel = { value = 7, provenance = "published", source = "manual" }
weights_per_output = { value = 32768, provenance = "published", source = "manual" }
height = { value = 4096, provenance = "published", source = "manual" }
width = { value = 2048, provenance = "published", source = "manual" }
pixels = { value = 1048576, provenance = "published", source = "manual" }
"""


@pytest.fixture
def write(tmp_path):
    def to_file(text: str | bytes):
        path = tmp_path / "mine.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return to_file


def test_a_description_is_read(write):
    machine = march.load(write(GOOD))
    assert machine == march.load(str(write(GOOD)))
    assert (machine.name, machine.title, machine.cores) == ("mine", "My accelerator", 2)
    assert machine.units == ("load", "store", "tensor")
    assert (machine.sram_bytes, machine.alignment) == (524288, 128)
    assert machine.constants_in_place is False
    assert (machine.workers, machine.sequential, machine.clock_hz) == (1, False, 1.5e9)
    assert (machine.sram_bytes_per_cycle, machine.burst_bytes) == (256, 32)
    assert (machine.ddr_bytes_per_second, machine.ddr_efficiency) == (17e9, 0.5)
    assert machine.simple == {
        "load": march.SimpleUnit(70, 0, 16),
        "store": march.SimpleUnit(80, 0, 12.5),
    }
    conv, narrow = march.Array(8, 32, 64, 1, 4), march.Array(7, 32, 6, 1, 4)
    assert machine.tensor == march.TensorUnit(0, 2, conv, narrow, march.Array(1, 32, 9, 2, 0))
    assert conv.products_per_cycle == 16384
    assert machine.limits == {
        "conv2d": {
            "input_types": ("int8", "int16"),
            "kernel": 7,
            "weights_per_output": 32768,
            "height": 4096,
            "width": 2048,
            "pixels": 1048576,
        }
    }
    assert len(machine.sources) == GOOD.count("provenance")
    assert machine.sources["cores"] == march.Source("published", "data sheet, page 3")
    assert machine.sources["memory.sram_bytes"].provenance == "fitted"
    assert machine.sources["tensor.conv.pixels"].text == "an array"
    assert machine.sources["limits.conv2d.kernel"] == march.Source("published", "manual")
    assert len({machine, march.load(write(GOOD))}) == 1


def test_the_machines_that_come_along():
    assert march.available() == tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
    named = {"bernoulli2", "bayes", "bayes-e", "nash-e", "nash-m"}
    assert {"host", "edge256", *named} == set(march.available())
    for name in march.available():
        machine = march.load(name)
        assert machine.name == name
        text = (FOLDER / f"{name}.toml").read_text()
        assert len(machine.sources) == len(re.findall(r"\bprovenance\b", text))
        assert all(source.provenance in PROVENANCES for source in machine.sources.values())


def test_host_and_the_small_accelerator():
    host, edge = march.load("host"), march.load("edge256")
    assert (host.cores, host.sram_bytes, host.constants_in_place) == (1, 2**30, True)
    assert (edge.cores, edge.sram_bytes, edge.constants_in_place) == (1, 2**18, False)
    assert host.units == edge.units == march.UNITS
    assert host.sequential is True
    assert {source.provenance for source in edge.sources.values()} == {"assumed"}


def test_what_is_published_of_the_named_accelerators():
    bayes, small, first = (march.load(name) for name in ("bayes", "bayes-e", "bernoulli2"))
    assert (bayes.cores, small.cores, small.clock_hz) == (2, 1, 1e9)
    assert "aux" not in first.units
    assert "warp" not in first.limits
    for machine in (bayes, small, first, march.load("nash-e"), march.load("nash-m")):
        assert not machine.sequential
        assert machine.limits["conv2d"]["kernel"] >= 7


def test_what_was_fitted_is_the_same_for_machines_of_one_family():
    bayes, small = march.load("bayes"), march.load("bayes-e")
    fitted = {key for key, source in bayes.sources.items() if source.provenance == "fitted"}
    assert fitted == {key for key, source in small.sources.items() if source.provenance == "fitted"}
    assert fitted
    assert {key: number(bayes, key) for key in fitted} == {
        key: number(small, key) for key in fitted
    }


def number(machine, key):
    values = tomllib.loads((FOLDER / f"{machine.name}.toml").read_text())
    for part in key.split("."):
        values = values[part]
    return values["value"]


def test_limits_are_those_of_the_graph_s_operators():
    assert LIMITS.keys() == OPERATORS.keys()
    assert UNIT_OF_OPERATOR.keys() == OPERATORS.keys() - {"concat", "slice"}
    assert set(UNIT_OF_OPERATOR.values()) <= set(march.UNITS)


def test_units_and_alignment_are_those_of_programs():
    assert [unit.name for unit in Unit] == list(march.UNITS)
    assert SMALLEST_ALIGNMENT == ALIGNMENT


def test_the_description_in_the_documentation_is_good(write):
    text = (ROOT / "docs/march.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert march.load(write(example)).name == tomllib.loads(example)["name"]


CORES = 'cores = { value = 2, provenance = "published", source = "data sheet, page 3" }\n'
WRONG = {
    "unknown": (CORES, CORES + "core = 1\n", "unknown key 'core'.*did you mean 'cores'"),
    "unknown table": (
        "[memory]",
        "[array]\nx = 1\n[memory]",
        "unknown key 'array'; expected name,",
    ),
    "unknown in table": ("[memory]", "[memory]\nsize = 1", "unknown key 'memory.size'"),
    "unknown in number": ("value = 2", "value = 2, unit = 1", "unknown key 'cores.unit'"),
    "missing": (CORES, "", r"cores is missing; expected \{ value"),
    "misspelt": ("cores", "coers", "cores is missing.*'coers' is there instead"),
    "no table": (
        GOOD[GOOD.index("[memory]") : GOOD.index("[load]")],
        "",
        "memory is missing; expected a table",
    ),
    "no unit's table": (
        GOOD[GOOD.index("[store]") : GOOD.index("[tensor]")],
        "",
        "store is missing; expected a table",
    ),
    "a table without its unit": (
        ', "tensor"]',
        "]",
        "tensor is described; expected no such table, or 'tensor' among the units",
    ),
    "missing flag": ("constants_in_place = false\n", "", "memory.constants_in_place is missing"),
    "no source": (', source = "data sheet, page 3"', "", "cores.source is missing"),
    "empty source": ("data sheet, page 3", " ", "cores.source is ' '"),
    "no provenance": ('provenance = "fitted", ', "", "memory.sram_bytes.provenance is missing"),
    "provenance": ("fitted", "guessed", "'guessed'; expected one of published, assumed, fitted"),
    "bare number": (CORES, "cores = 2\n", r"cores is 2; expected \{ value"),
    "text": ("value = 2", 'value = "2"', "cores.value is '2'; expected an integer"),
    "fraction": ("value = 2", "value = 2.0", "cores.value is 2.0; expected an integer"),
    "true": ("value = 2", "value = true", "cores.value is True; expected an integer"),
    "zero": ("value = 2", "value = 0", r"cores.value is 0; expected 1\.\."),
    "negative": ("value = 524288", "value = -1", "memory.sram_bytes.value is -1"),
    "huge": ("value = 524288", f"value = {LARGEST_NUMBER + 1}", "memory.sram_bytes.value is"),
    "flag": (
        "constants_in_place = false",
        "constants_in_place = 0",
        "memory.constants_in_place is 0; expected true or false",
    ),
    "title": ('"My accelerator"', '""', "title is ''; expected a text"),
    "name": ('"mine"', '"my machine"', "name is 'my machine'; expected one word"),
    "a folder's name": ('"mine"', '".."', r"name is '\.\.'; expected one word"),
    "unit": ('"tensor"', '"vpu"', "units is a list with 'vpu'; expected a list of some of load"),
    "units twice": ('"tensor"', '"load"', "units is .*; expected each name once"),
    "units of lists": ('"tensor"', "[]", r"units is a list with \[\]"),
    "units": ('["store", "load", "tensor"]', '"load"', "units is 'load'; expected a list"),
    "no load": ('"load", ', "", "units is no 'load'"),
    "alignment": ("value = 128", "value = 96", "memory.alignment is 96; expected a power of two"),
    "small alignment": ("value = 128", "value = 32", "memory.alignment is 32; expected a power"),
    "burst": ("value = 32,", "value = 48,", "memory.burst_bytes is 48; expected a power of two"),
    "efficiency": (
        "value = 0.5",
        "value = 1.1",
        "ddr_efficiency.value is 1.1; expected more than 0",
    ),
    "not a number": ("value = 1.5e9", "value = nan", "clock_hz.value is nan; expected more than 0"),
    "infinite": ("value = 1.5e9", "value = inf", "clock_hz.value is inf; expected more than 0"),
    "no clock": ("value = 1.5e9", "value = 0.0", "clock_hz.value is 0; expected more than 0"),
    "negative startup": (
        "value = 70",
        "value = -70",
        "load.startup_cycles.value is -70; expected 0",
    ),
    "fraction of an array": (
        "value = 7,",
        "value = 7.5,",
        "narrow.pixels.value is 7.5; expected an i",
    ),
    "int16": (
        'value = 2, provenance = "assumed", source = "two',
        'value = 0.5, provenance = "assumed", source = "two',
        "tensor.int16_steps is 0.5; expected 1 or more",
    ),
    "limit of an unknown operator": (
        "[limits.conv2d]",
        "[limits.conv]",
        "unknown key 'limits.conv'",
    ),
    "limit of a missing unit": (
        "[limits.conv2d]",
        "[limits.warp]\n[limits.conv2d]",
        "limits.warp is limited; expected no such table, or 'aux' among the units",
    ),
    "unknown limit": (
        "[limits.conv2d]\n",
        "[limits.conv2d]\nsize = 3\n",
        "unknown key 'limits.conv2d.size'",
    ),
    "limit without source": (
        'kernel = { value = 7, provenance = "published", source = "manual" }',
        "kernel = 7",
        r"limits.conv2d.kernel is 7; expected \{ value",
    ),
    "no types": ('["int16", "int8"]', "[]", "limits.conv2d.input_types is empty"),
    "unknown type": ('["int16", "int8"]', '["float"]', "input_types is a list with 'float'"),
    "more pixels than fit": (
        "value = 1048576",
        "value = 8388609",
        "limits.conv2d.pixels is 8388609; expected at most height x width, 8388608",
    ),
    "fewer pixels than a row": (
        "value = 1048576",
        "value = 4000",
        "pixels is 4000; expected at least",
    ),
    "fewer weights than a kernel": (
        "value = 32768",
        "value = 6",
        "weights_per_output is 6; expected",
    ),
    "contradiction": (
        "value = 524288",
        "value = 524289",
        "memory.sram_bytes is 524289, with alignment 128; expected a multiple",
    ),
    "no TOML": ("[memory]", "[memory", "mine.toml: .*; expected a TOML file"),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(write, old, new, message):
    assert old in GOOD
    path = write(GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        march.load(path)
    assert str(caught.value).startswith(str(path))


def test_bytes_that_are_no_text_are_refused(write):
    with pytest.raises(InputError, match="expected a TOML file in UTF-8"):
        march.load(write(b"\xff"))


def test_unknown_names_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"machine 'bayse' is unknown; expected one of .*host"):
        march.load("bayse")
    with pytest.raises(InputError, match=r"absent\.toml: cannot read"):
        march.load(tmp_path / "absent.toml")
