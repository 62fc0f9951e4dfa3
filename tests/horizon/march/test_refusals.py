"""Descriptions that are refused, and what is said of them."""

from __future__ import annotations

import pytest

from horizon import march
from horizon.errors import InputError
from horizon.march.description import MOST_CORES
from horizon.march.table import LARGEST_NUMBER
from tests.horizon.march.description import GOOD

CORES = 'cores = { value = 2, provenance = "published", source = "data sheet, page 3" }\n'
DEPTHWISE = GOOD[GOOD.index("[tensor.conv]") : GOOD.index("[tensor.narrow]")].replace(
    "conv", "depthwise"
)
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
    "a long name": ('"mine"', f'"{"x" * 65}"', "name is 'x+'; expected one word .* at most 64"),
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
        "ddr_efficiency.value is 1.1; expected 1e-15 to 1$",
    ),
    "not a number": ("value = 1.5e9", "value = nan", "clock_hz.value is nan; expected 1e-15 to"),
    "infinite": ("value = 1.5e9", "value = inf", "clock_hz.value is inf; expected 1e-15 to"),
    "no clock": (
        "value = 1.5e9",
        "value = 0.0",
        r"clock_hz.value is 0.0; expected 1e-15 to",
    ),
    "no number that a report could hold": (
        "value = 1.5e9",
        "value = 5e-324",
        "clock_hz.value is 5e-324; expected 1e-15 to",
    ),
    "an integer that no float holds": (
        "value = 1.5e9",
        f"value = 1{'0' * 400}",
        r"clock_hz.value is 10+; expected 1e-15 to 1e\+15",
    ),
    "cores": ("value = 2", f"value = {MOST_CORES + 1}", "cores.value is 257; expected 1..256"),
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
    "depthwise": (
        "[limits.conv2d]",
        f"{DEPTHWISE}[limits.conv2d]",
        "tensor.depthwise.inputs is 32; expected 1: an output of a depthwise",
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
