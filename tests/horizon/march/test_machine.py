from __future__ import annotations

import re
import tomllib

from horizon import march
from horizon.hbir.operators import OPERATORS
from horizon.hbm.records import ALIGNMENT, Unit
from horizon.march.description import FOLDER, SMALLEST_ALIGNMENT
from horizon.march.limits import LIMITS, UNIT_OF_OPERATOR
from horizon.march.table import PROVENANCES
from tests.conftest import ROOT
from tests.horizon.march.description import GOOD


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
    assert machine.tensor.array("narrow") == narrow
    assert machine.tensor.array("depthwise") == march.Array(8, 1, 64, 1, 4)
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
