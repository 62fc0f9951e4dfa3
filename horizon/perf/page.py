"""The estimate as one HTML page that needs neither a network nor other files."""

from __future__ import annotations

from importlib.resources import files

from horizon.hbm.records import RANDOM_WEIGHTS, Program
from horizon.march import Machine
from horizon.perf.activity import running, used_units
from horizon.perf.cost import bandwidth
from horizon.perf.estimate import Estimate
from horizon.perf.left_out import LEFT_OUT
from horizon.perf.machine_numbers import peak_macs, provenance_counts
from horizon.perf.markup import (
    bytes_text,
    colour_of,
    count_text,
    escape,
    macs_text,
    memory_text,
    number,
    percent,
    script_json,
    time_text,
)
from horizon.perf.occupation import Occupation, occupation
from horizon.perf.page_data import time_line_data
from horizon.perf.page_tables import layer_table, machine_table, unit_bars
from horizon.perf.record import mac_utilisation
from horizon.perf.roofline import roofline

# With this policy a browser loads nothing, even if a name in the program contains markup.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SCRIPTS = ("format.js", "drawing.js", "timeline.js", "page.js")


def html_page(estimate: Estimate) -> str:
    """The report as text of an HTML file."""
    title = escape(f"{estimate.program.name} on {estimate.machine.name}")
    live = occupation(estimate)
    data = script_json(time_line_data(estimate, live))
    scripts = "\n".join(f"<script>\n{_asset(name)}</script>" for name in SCRIPTS)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
{_headline(estimate)}
{_roofline_section(estimate)}
{_time_line_section(live)}
{_layer_section(estimate)}
{_machine_section(estimate.machine)}
{_left_out_section()}
<script type="application/json" id="data">{data}</script>
{scripts}
</body>
</html>
"""


def _asset(name: str) -> str:
    return files("horizon.perf").joinpath(name).read_text(encoding="utf-8")


def _headline(estimate: Estimate) -> str:
    program, machine = estimate.program, estimate.machine
    cores = count_text(estimate.cores, "core")
    moved = estimate.loaded + estimate.stored
    figures = [
        (number(estimate.fps, 4), "frames per second", f"{cores}, a frame each"),
        (time_text(estimate.latency), "latency", f"bound {time_text(estimate.bound)}"),
        (percent(mac_utilisation(estimate)), "of the peak", _work(estimate)),
        (
            bytes_text(moved),
            "of DDR per frame",
            f"{bytes_text(estimate.loaded)} loaded, {bytes_text(estimate.stored)} stored",
        ),
    ]
    boxes = "".join(
        f"<li><strong>{escape(value)}</strong> {escape(what)}<small>{escape(more)}</small></li>"
        for value, what, more in figures
    )
    shapes = ", ".join(
        f"{tensor.name} {tensor.dtype.name} {'x'.join(map(str, tensor.shape))}"
        for tensor in program.inputs
    )
    return f"""<header>
<h1><bdi>{escape(program.name)}</bdi> <span>on {escape(machine.name)}</span></h1>
<p class="sub"><bdi>{escape(machine.title)}</bdi>. Compiled at O{program.opt}:
{count_text(len(program.instructions), "instruction")},
{count_text(len(estimate.layers), "layer")}, input <bdi>{escape(shapes)}</bdi>.</p>
{_weights(program)}<ul class="figures">{boxes}</ul>
<div class="columns"><div>
<p>{escape(_bound(estimate))}</p>
<p>{escape(_machine_line(estimate))}</p>
<p class="note">{escape(_provenance(machine))}</p>
</div><div>
<h2 class="small">Share of the run in which each unit works</h2>
{unit_bars(estimate)}
</div></div>
</header>"""


def _weights(program: Program) -> str:
    """A warning if the program's metadata say that its weights are random."""
    if program.metadata.get("weights") != RANDOM_WEIGHTS:
        return ""
    return (
        '<p class="warning"><strong>Random weights.</strong> Times, bytes and memory are those of '
        "the trained network; the values that this program computes mean nothing.</p>\n"
    )


def _work(estimate: Estimate) -> str:
    peak = peak_macs(estimate.machine)
    return f"{macs_text(estimate.macs)} per frame, peak {macs_text(peak)}/s and core"


def _bound(estimate: Estimate) -> str:
    """What bounds the run, in words."""
    busy = {unit: estimate.busy.get(unit, 0.0) for unit in used_units(estimate)}
    busiest = max(busy, key=lambda unit: busy[unit])
    times = running(estimate)
    by: dict[str, float] = {}
    for layer, seconds in zip(estimate.layers, times, strict=True):
        by[layer.bounded_by] = by.get(layer.bounded_by, 0.0) + seconds
    parts = sorted((name for name in by if by[name] > 5e-4 * sum(times)), key=lambda n: -by[n])
    shares = ", ".join(f"{name} {percent(by[name] / sum(times))}" for name in parts)
    return (
        f"The {busiest} unit works {percent(busy[busiest] / estimate.latency)} of the run, more "
        f"than any other. What bounds the layers, by the time that they run: {shares}. The run "
        f"takes {estimate.latency / estimate.bound:.2f} times its closed-form bound."
    )


def _machine_line(estimate: Estimate) -> str:
    machine = estimate.machine
    clock = f"{number(machine.clock_hz / 1e9)} GHz"
    sram = (
        f"{memory_text(machine.sram_bytes)} of memory"
        if machine.constants_in_place
        else f"{memory_text(machine.sram_bytes)} of SRAM each"
    )
    units = "one unit at a time" if machine.sequential else "units side by side"
    workers = f", {machine.workers} threads each" if machine.workers > 1 else ""
    return (
        f"{count_text(machine.cores, 'core')}{workers} at {clock}, {units}; "
        f"peak {macs_text(peak_macs(machine))}/s and {sram}; DDR "
        f"{bytes_text(machine.ddr_bytes_per_second)}/s at {percent(machine.ddr_efficiency)} "
        f"efficiency, {bytes_text(bandwidth(machine, estimate.cores))}/s for each working core."
    )


def _provenance(machine: Machine) -> str:
    counts = provenance_counts(machine)
    return (
        f"An estimate, not a measurement. Of the machine's {sum(counts.values())} numbers "
        f"{counts['published']} are published, {counts['assumed']} assumed and "
        f"{counts['fitted']} fitted to measurements."
    )


def _roofline_section(estimate: Estimate) -> str:
    svg = roofline(estimate)
    if not svg:
        return ""
    names = sorted({layer.bounded_by for layer in estimate.layers})
    return f"""<section>
<h2>Roofline</h2>
<p>Each mark is a layer, its area the time that it runs; a hollow mark is bounded by memory. Point
at it for its numbers, click to see it in the time line. {_legend(names)}</p>
<div class="scroll plot">{svg}</div>
</section>"""


def _legend(names: list[str]) -> str:
    marks = "".join(
        f'<span><i style="background:{colour_of(name)}"></i>{escape(name)}</span>' for name in names
    )
    return f'<span class="legend">bounded by {marks}</span>'


def _time_line_section(live: dict[str, Occupation]) -> str:
    memories = "; ".join(
        f"{name.upper()} {memory_text(memory.peak)} of {memory_text(memory.size)} at the peak"
        for name, memory in live.items()
        if memory.size
    )
    return f"""<section id="time">
<h2>Time line</h2>
<p>One core, one frame. Colours tell neighbouring layers apart. Pale is a transfer that waits for
the bus or, where instructions are narrower than a pixel, time in which the unit rests. Below: bytes
that are still needed, {memories}.</p>
<div class="tools">
<button type="button" data-do="in" title="zoom in (+)">+</button>
<button type="button" data-do="out" title="zoom out (-)">&minus;</button>
<button type="button" data-do="left" title="earlier (left arrow)">&larr;</button>
<button type="button" data-do="right" title="later (right arrow)">&rarr;</button>
<button type="button" data-do="all" title="the whole run (0)">whole run</button>
<output></output></div>
<div id="timeline"><canvas tabindex="0" aria-label="Time line of each unit, and live bytes of the
memories. Plus and minus zoom, arrows move, 0 shows the whole run."></canvas>
<div id="tip" hidden></div></div>
<p class="note screen">Wheel, + and - zoom, drag or arrows move, 0 shows all. A click on an
instruction marks its layer. The address keeps what is shown, for sharing: #t=from-to in µs.</p>
<noscript><p>The time line needs scripts; everything else does not.</p></noscript>
</section>"""


def _layer_section(estimate: Estimate) -> str:
    return f"""<section>
<h2>Layers</h2>
<p>In order of the program. Busy times are those of each unit alone, without waiting; layers
overlap. Click a heading to sort. <label class="screen">Show only
<input type="search" id="filter" placeholder="name, op or bound"></label>
<span id="shown" class="note"></span></p>
<div class="scroll">{layer_table(estimate)}</div>
</section>"""


def _machine_section(machine: Machine) -> str:
    return f"""<section>
<h2>The machine's numbers</h2>
<p>{escape(_provenance(machine))} Published: the maker or a paper says so. Assumed: plausible,
unconfirmed. Fitted: chosen so that the model agrees with a measurement.</p>
<div class="scroll">{machine_table(machine)}</div>
</section>"""


def _left_out_section() -> str:
    items = "".join(
        f"<li><strong>{escape(what)}</strong>: {escape(text)}</li>" for what, text in LEFT_OUT
    )
    return f"""<section>
<h2>What the model leaves out</h2>
<ul>{items}</ul>
</section>"""
