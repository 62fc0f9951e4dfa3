"""The page: complete, on its own, safe from names, and its scripts run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest

from horizon.march import Source
from horizon.perf import Estimate, estimate, html_page
from horizon.perf.left_out import LEFT_OUT
from horizon.perf.machine_numbers import machine_numbers
from horizon.perf.occupation import occupation
from tests.horizon.perf.browser import dump
from tests.horizon.perf.examples import MACHINE, load, program, store
from tests.horizon.perf.reports import on_host, random_estimate, two_cores

EVIL = "</script><img src=x onerror=alert(1)>\"'&amp;<b>"


class Reader(HTMLParser):
    """Tags with their attributes, the text of elements, and the rows of tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.scripts: list[str] = []
        self._open = ""
        self._in_cell = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._open = ""
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._open == "script":
            self.scripts[-1] += data
            return
        if self._open == "style":
            return
        self.texts.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def data(self):
        return json.loads(self.scripts[0])

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@cache
def tiles() -> Estimate:
    return random_estimate(2001)


@pytest.fixture(scope="module", params=["tiles", "two cores", "host"])
def found(request):
    return {"tiles": tiles, "two cores": two_cores, "host": on_host}[request.param]()


def test_every_layer_has_a_row_and_a_mark(found):
    reader = Reader(html_page(found))
    names = [layer.name for layer in found.layers]
    first = [row[0] for row in reader.rows]
    start = first.index("layer") + 1
    assert first[start : start + len(names)] == names
    assert first[start + len(names)] == "whole program"
    titles = [name for name in names if f"{name} runs for" in reader.text]
    assert titles == names
    assert len(reader.named("circle")) == len(names)


def test_marks_lie_on_the_drawing(found):
    reader = Reader(html_page(found))
    (box,) = reader.named("svg")
    _, _, width, height = (float(value) for value in str(box["viewbox"]).split())
    for circle in reader.named("circle"):
        assert 0 < float(str(circle["cx"])) < width
        assert 0 < float(str(circle["cy"])) < height


def test_a_cpu_s_roofline_is_about_its_memory():
    assert "MAC per byte of memory" in Reader(html_page(on_host())).text
    assert "MAC per byte of DDR" in Reader(html_page(tiles())).text


def test_headline(found):
    text = Reader(html_page(found)).text
    for value in (found.program.name, found.machine.name, found.machine.title):
        assert value in text
    (frames,) = re.findall(r"([\d,.]+) frames per second", text)
    assert float(frames.replace(",", "")) == pytest.approx(found.fps, rel=1e-3)
    counts = [number.provenance for number in machine_numbers(found.machine)]
    assert f"Of the machine's {len(counts)} numbers" in text
    assert f"{counts.count('assumed')} assumed" in text


def test_numbers_and_what_is_left_out_are_there(found):
    reader = Reader(html_page(found))
    rows = {row[0]: row[1:] for row in reader.rows if len(row) == 4}
    for number in machine_numbers(found.machine):
        value, provenance, source = rows[number.key]
        assert float(value.replace(",", "")) == pytest.approx(number.value)
        assert (provenance, source) == (number.provenance, number.source)
    for what, how in LEFT_OUT:
        assert f"{what} : {how}" in reader.text


def test_nothing_is_fetched(found):
    page = html_page(found)
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|XMLHttpRequest|import\(", page)
    for tag, attributes in Reader(page).tags:
        assert not attributes.get("src")
        assert str(attributes.get("href") or "#").startswith("#")
        assert tag not in ("link", "iframe", "object", "embed", "base")
    (policy,) = [m for m in Reader(page).named("meta") if "http-equiv" in m]
    assert str(policy["content"]).startswith("default-src 'none'")


def test_the_same_estimate_gives_the_same_page(found):
    assert html_page(found) == html_page(found)


def test_the_time_line_s_columns_are_the_instructions(found):
    data = Reader(html_page(found)).data
    program = found.program
    tick = data["tick"]
    assert data["end"] * tick == pytest.approx(found.latency, rel=1e-7)
    assert data["layers"] == [layer.name for layer in found.layers]
    seen = []
    for unit in data["units"]:
        start, place = np.cumsum(unit["start"]), np.cumsum(unit["index"])
        seen += place.tolist()
        for number, index in enumerate(place):
            instruction, timed = program.instructions[index], found.instructions[index]
            assert instruction.unit.name == unit["name"]
            assert instruction.layer == data["layers"][unit["layer"][number]]
            assert data["ops"][str(unit["op"][number])] == instruction.opcode.name
            end = start[number] + unit["length"][number]
            work = end - start[number] - unit["wait"][number]
            assert start[number] * tick == pytest.approx(timed.start, abs=tick)
            assert end * tick == pytest.approx(timed.end, abs=tick)
            assert work * tick == pytest.approx(timed.busy, abs=2 * tick)
            assert unit["amount"][number] == timed.macs + timed.ddr_bytes
    assert sorted(seen) == list(range(len(program.instructions)))


def test_the_time_line_s_memories_are_the_occupation(found):
    live = occupation(found)
    data = Reader(html_page(found)).data
    assert [memory["name"].lower() for memory in data["memories"]] == [
        name for name, memory in live.items() if memory.size
    ]
    for memory in data["memories"]:
        expected = live[memory["name"].lower()]
        assert np.cumsum(memory["live"]).tolist() == expected.live.tolist()
        assert (memory["size"], memory["peak"]) == (expected.size, expected.peak)
        np.testing.assert_allclose(
            np.cumsum(memory["time"]) * data["tick"], expected.times, atol=data["tick"]
        )


@cache
def evil() -> Estimate:
    """Names of layers, program, input and machine, and a source, that try to be markup."""
    base = tiles()
    layers = {layer.name: f"{EVIL}{layer.name}" for layer in base.layers}
    instructions = tuple(replace(one, layer=layers[one.layer]) for one in base.program.instructions)
    inputs = tuple(replace(tensor, name=EVIL) for tensor in base.program.inputs)
    made = replace(base.program, name=EVIL, inputs=inputs, instructions=instructions)
    sources = {**base.machine.sources, "cores": Source("assumed", EVIL)}
    return estimate(made, replace(base.machine, title=EVIL, sources=sources))


def test_names_stay_text():
    plain, reader = Reader(html_page(tiles())), Reader(html_page(evil()))
    assert [tag for tag, _ in reader.tags] == [tag for tag, _ in plain.tags]
    assert reader.data["layers"] == [EVIL + name for name in plain.data["layers"]]
    assert [row[0] for row in reader.rows if row[0].startswith(EVIL)] == reader.data["layers"]
    assert reader.text.count(EVIL) > len(reader.data["layers"])


def test_random_weights_are_told():
    base = tiles()
    made = replace(base.program, metadata={**base.program.metadata, "weights": "random"})
    assert "Random weights." in Reader(html_page(replace(base, program=made))).text
    assert "Random weights." not in Reader(html_page(base)).text


def test_a_machine_without_a_tensor_unit():
    units = tuple(unit for unit in MACHINE.units if unit != "tensor")
    machine = replace(MACHINE, units=units, tensor=None)
    found = estimate(program([load(64), store(64, waits={"load": 1})]), machine)
    reader = Reader(html_page(found))
    assert not reader.named("svg")
    assert "layer" in [row[0] for row in reader.rows]


POINTER = """
const canvas = document.querySelector("canvas"), edge = canvas.getBoundingClientRect();
const over = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type,
  { clientX: edge.left + x, clientY: edge.top + y, pointerId: 1, bubbles: true }));
"""


def test_scripts_run_without_errors(tmp_path):
    page, console = dump(html_page(evil()), tmp_path)
    assert not console
    assert re.search(r"<output>whole run, [\d.]+ µs</output>", page)
    assert "<img" not in page


def test_the_address_says_what_is_shown(tmp_path):
    end = tiles().latency * 1e6
    address = f"#t={end / 4:.4f}-{end / 2:.4f}"
    page, console = dump(html_page(tiles()), tmp_path, address)
    assert not console
    assert re.search(r"<output>[\d.]+ (µs|ns) to [\d.]+ (µs|ns): .*, 25\.0 % of the run", page)
    page, console = dump(html_page(tiles()), tmp_path, "#t=7-x'<")
    assert "<output>whole run" in page
    assert not console


def test_the_tip_names_the_instruction_and_keys_zoom(tmp_path):
    found = tiles()
    run = (
        POINTER
        + """
      setTimeout(() => {
        over("pointermove", 84, 30);
        canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "+" }));
        canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "+" }));
      }, 200);"""
    )
    page, console = dump(html_page(found), tmp_path, run=run)
    assert not console
    tip = re.search(r'<div id="tip"[^>]*>([^<]*)</div>', page)
    assert tip
    assert tip[1].splitlines()[0] == found.program.instructions[0].layer
    assert "load, instruction 0, load unit" in tip[1]
    assert re.search(r"<output>.*, 25\.0 % of the run", page)


def test_the_table_sorts_and_filters(tmp_path):
    found = tiles()
    run = """
      document.querySelectorAll("#layers thead button")[2].click();
      const filter = document.getElementById("filter");
      filter.value = "conv";
      filter.dispatchEvent(new Event("input"));"""
    page, console = dump(html_page(found), tmp_path, run=run)
    assert not console
    body = page.split('id="layers"')[1].split("<tbody>")[1].split("</tbody>")[0]
    rows = re.findall(
        r"<tr( hidden=\"\")?><th[^>]*>([^<]*)</th><td[^>]*>([^<]*)</td>"
        r'<td data-v="([^"]*)"',
        body,
    )
    assert len(rows) == len(found.layers)
    runs = [float(row[3]) for row in rows]
    assert runs == sorted(runs, reverse=True)
    assert {bool(row[0]) for row in rows if "conv" in row[2]} == {False}
    assert {bool(row[0]) for row in rows if "conv" not in row[2]} == {True}
