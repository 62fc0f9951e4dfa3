from __future__ import annotations

import re
import tomllib

import pytest

from horizon import march
from horizon.errors import InputError
from horizon.hbm.records import ALIGNMENT, Unit
from horizon.march.machine import FOLDER, LARGEST_NUMBER, PROVENANCES, SMALLEST_ALIGNMENT
from tests.conftest import ROOT

GOOD = """\
name = "mine"
title = "My accelerator"
units = ["store", "load", "tensor"]
cores = { value = 2, provenance = "published", source = "data sheet, page 3" }

[memory]
constants_in_place = false
sram_bytes = { value = 524288, provenance = "fitted", source = "largest program that ran" }
alignment = { value = 128, provenance = "assumed", source = "width of its bus" }
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
    assert machine.sources == {
        "cores": march.Source("published", "data sheet, page 3"),
        "memory.sram_bytes": march.Source("fitted", "largest program that ran"),
        "memory.alignment": march.Source("assumed", "width of its bus"),
    }
    assert len({machine, march.load(write(GOOD))}) == 1


def test_the_machines_that_come_along():
    assert march.available() == tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
    assert {"host", "edge256"} <= set(march.available())
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
    assert {source.provenance for source in edge.sources.values()} == {"assumed"}


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
    "no table": (GOOD[GOOD.index("[memory]") :], "", "memory is missing; expected a table"),
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
    "flag": ("= false", "= 0", "memory.constants_in_place is 0; expected true or false"),
    "title": ('"My accelerator"', '""', "title is ''; expected a text"),
    "name": ('"mine"', '"my machine"', "name is 'my machine'; expected one word"),
    "unit": ('"tensor"', '"vpu"', "units is a list with 'vpu'; expected a list of some of load"),
    "units twice": ('"tensor"', '"load"', "units is .*; expected each name once"),
    "units of lists": ('"tensor"', "[]", r"units is a list with \[\]"),
    "units": ('["store", "load", "tensor"]', '"load"', "units is 'load'; expected a list"),
    "no load": ('"load", ', "", "units is no 'load'"),
    "alignment": ("value = 128", "value = 96", "memory.alignment is 96; expected a power of two"),
    "small alignment": ("value = 128", "value = 32", "memory.alignment is 32; expected a power"),
    "contradiction": (
        "value = 524288",
        "value = 524289",
        "memory.sram_bytes is 524289, with alignment 128; expected a multiple",
    ),
    "no TOML": ("[memory]", "[memory", "mine.toml: .*; expected a TOML file"),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(write, old, new, message):
    assert GOOD.count(old) == 1 or old in ("cores", "[memory]", "provenance")
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
