"""The tables of the page: units, layers, the machine's numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from horizon.march import Machine
from horizon.perf.activity import running, used_units
from horizon.perf.cost import bandwidth
from horizon.perf.estimate import Estimate, LayerEstimate
from horizon.perf.machine_numbers import machine_numbers
from horizon.perf.markup import colour_of, escape, number, percent, time_link
from horizon.perf.record import origin_ops

WORDS = ("layer", "op", "bounded by")  # columns that hold no numbers
TEXT = ' class="text"'


def unit_bars(estimate: Estimate) -> str:
    """The share of the run in which each unit, and the DDR bus, is busy."""
    busy = {unit: estimate.busy.get(unit, 0.0) for unit in used_units(estimate)}
    moved = estimate.loaded + estimate.stored
    busy["ddr"] = moved / bandwidth(estimate.machine, estimate.cores)
    rows = [
        f'<tr><th scope="row">{"DDR at full rate" if unit == "ddr" else unit}</th>'
        f"<td>{percent(seconds / estimate.latency)}</td>"
        f'<td class="wide">{_bar(seconds / estimate.latency, unit)}</td></tr>'
        for unit, seconds in busy.items()
    ]
    return f'<table class="units">{"".join(rows)}</table>'


def layer_table(estimate: Estimate) -> str:
    """A row for each layer, in order of the program; the script sorts by ``data-v``."""
    units = used_units(estimate)
    heads = [
        ("layer", "", ""),
        ("op", "", ""),
        ("runs", "µs", "time in which at least one of its instructions is carried out"),
        ("share", "", "of the run, the bar of the longest layer; they overlap: more than 100 %"),
        ("bound", "µs", "no schedule can be faster: the largest of work / peak rate"),
        ("bounded by", "", "the unit or memory that the bound comes from"),
        ("use", "%", "multiply-accumulates of what the tensor unit could do while it works on it"),
        ("MMAC", "", "millions of multiply-accumulates"),
        ("loaded", "kB", "from DDR"),
        ("stored", "kB", "to DDR"),
        ("active", "µs", "first start to last end; opens it in the time line"),
        *((unit, "µs", f"the {unit} unit works on it") for unit in units),
    ]
    head = "".join(
        f'<th scope="col" title="{escape(title)}"{TEXT if name in WORDS else ""}>'
        f'<button type="button">{escape(name)}'
        f"{f' <small>{unit}</small>' if unit else ''}</button></th>"
        for name, unit, title in heads
    )
    times = running(estimate)
    rows = "\n".join(
        _layer_row(estimate, layer, seconds, seconds / max(times), units)
        for layer, seconds in zip(estimate.layers, times, strict=True)
    )
    return (
        f'<table id="layers"><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody>'
        f"<tfoot>{_sums(estimate, units)}</tfoot></table>"
    )


def _layer_row(
    estimate: Estimate,
    layer: LayerEstimate,
    seconds: float,
    of_longest: float,
    units: Sequence[str],
) -> str:
    share = seconds / estimate.latency
    begin, end = layer.start * 1e6, layer.end * 1e6
    decimals = max(0, 4 - math.ceil(math.log10(estimate.latency * 1e6)))
    cells = [
        f'<th scope="row">{escape(layer.name)}</th>',
        f"<td{TEXT}>{escape(', '.join(origin_ops(layer)))}</td>",
        _cell(seconds * 1e6),
        f'<td class="share" data-v="{share:.6g}"><span>{percent(share)}</span>'
        f"{_bar(of_longest, layer.bounded_by)}</td>",
        _cell(layer.bound * 1e6),
        f'<td{TEXT}><i style="background:{colour_of(layer.bounded_by)}"></i>'
        f"{escape(layer.bounded_by)}</td>",
        _cell(layer.utilisation * 100),
        _cell(layer.macs / 1e6),
        _cell(layer.loaded / 1e3),
        _cell(layer.stored / 1e3),
        f'<td data-v="{begin:.9g}"><a href="{time_link(layer)}">'
        f"{begin:,.{decimals}f}&#8201;&ndash;&#8201;{end:,.{decimals}f}</a></td>",
        *(_cell(layer.busy.get(unit, 0.0) * 1e6) for unit in units),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _sums(estimate: Estimate, units: Sequence[str]) -> str:
    cells = [
        '<th scope="row">whole program</th><td></td>',
        _cell(estimate.latency * 1e6),
        "<td></td>",
        _cell(estimate.bound * 1e6),
        "<td></td><td></td>",
        _cell(estimate.macs / 1e6),
        _cell(estimate.loaded / 1e3),
        _cell(estimate.stored / 1e3),
        "<td></td>",
        *(_cell(estimate.busy.get(unit, 0.0) * 1e6) for unit in units),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: float) -> str:
    if not value:
        return '<td data-v="0" class="none">·</td>'
    return f'<td data-v="{value:.9g}">{number(value)}</td>'


def _bar(share: float, colour_name: str) -> str:
    width = min(100.0, 100 * share)
    colour = colour_of(colour_name)
    return f'<b class="bar"><b style="width:{width:.2f}%;background:{colour}"></b></b>'


def machine_table(machine: Machine) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(entry.key)}</th><td>{entry.value:,.12g}</td>'
        f'<td class="text {escape(entry.provenance)}">{escape(entry.provenance)}</td>'
        f'<td class="text">{escape(entry.source)}</td></tr>'
        for entry in machine_numbers(machine)
    )
    return (
        '<table><thead><tr><th scope="col">number</th><th scope="col">value</th>'
        '<th scope="col" class="text">provenance</th><th scope="col" class="text">source</th>'
        "</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
