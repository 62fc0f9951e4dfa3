"""The values of each layer as tables, histograms and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hat.analysis.profile.finding import BITS, KIND, LAYER, Finding
from hat.visualize.profile_page import Section
from hat.visualize.profile_plots import Distribution, Panel, histogram_grid, layer_plot
from hat.visualize.profile_tables import Column, Table
from horizon.quantization.profiler import LayerStatistics
from horizon.quantization.qtensor import LIMITS

SHOWN = 8
"""Layers with a histogram."""


def statistics(by_stage: Mapping[str, Sequence[LayerStatistics]]) -> Finding:
    """Values of each layer in each stage; the last stage's worst layers get a histogram."""
    columns = [
        LAYER,
        KIND,
        Column("minimum", "min", ".4g"),
        Column("maximum", "max", ".4g"),
        Column("mean", "mean", ".4g"),
        Column("deviation", "std", ".4g"),
        Column("peak", "peak/std", ".1f"),
        Column("zeros", "zeros", "%"),
        Column("silent_channels", "silent channels", "d"),
        Column("channels", "channels", "d"),
        BITS,
        Column("scale_low", "smallest scale", ".4g"),
        Column("scale_high", "largest scale", ".4g"),
        Column("saturated", "saturated", "%"),
        Column("used", "range used", "%"),
    ]
    note = (
        "Silent channels are 0 in every pixel. Saturated: values at the first or last integer. "
        "Range used: largest integer over the largest possible one."
    )
    tables, rows = [], []
    content: dict[str, Any] = {}
    for stage, entries in by_stage.items():
        content[stage] = [asdict(entry) for entry in entries]
        own = [
            {"stage": stage, **{k: v for k, v in entry.items() if k != "histogram"}}
            for entry in content[stage]
        ]
        rows += own
        used = columns if any(entry.bits for entry in entries) else columns[:10]
        tables.append(Table(f"Values of {stage}", note, used, own))
    stage, last = list(by_stage.items())[-1]
    plots = []
    quantised = _narrow(last)
    if quantised:
        panels = [
            Panel("Range used", {stage: [e.used for e in quantised]}, bars=True),
            Panel("Share saturated", {stage: [e.saturated for e in quantised]}, bars=True),
        ]
        drawing = layer_plot([entry.layer for entry in quantised], panels)
        plots.append((f"Use of the integers by each layer of {stage}", drawing))
    chosen = _worst(last)
    plots.append(
        (f"Histograms of {', '.join(entry.layer for entry in chosen)}", _grid(by_stage, chosen))
    )
    return Finding(
        Section("statistics", "Statistics", _statistics_sentences(stage, last), plots, tables),
        content,
        ["stage", *(column.key for column in columns)],
        rows,
    )


def _narrow(entries: Sequence[LayerStatistics]) -> list[LayerStatistics]:
    """The quantised layers whose bits are few enough to matter: those of int32 never run out."""
    return [entry for entry in entries if entry.used is not None and (entry.bits or 32) < 32]


def _worst(entries: Sequence[LayerStatistics]) -> list[LayerStatistics]:
    """Most saturated, least used, and (in floating point) the largest peaks."""
    quantised = _narrow(entries)
    if not quantised:
        return sorted(entries, key=lambda entry: -entry.peak)[:SHOWN]
    chosen = sorted(quantised, key=lambda entry: -(entry.saturated or 0))[: SHOWN // 2]
    rest = [entry for entry in quantised if entry not in chosen]
    return chosen + sorted(rest, key=lambda entry: entry.used or 0)[: SHOWN - len(chosen)]


def _grid(
    by_stage: Mapping[str, Sequence[LayerStatistics]], chosen: Sequence[LayerStatistics]
) -> str:
    panels = []
    for worst in chosen:
        distributions = [
            Distribution(stage, entry.histogram.reach, entry.histogram.counts)
            for stage, entries in by_stage.items()
            for entry in entries
            if entry.layer == worst.layer
        ]
        limits = None
        if worst.bits is not None and worst.scale_high is not None:
            low, high = LIMITS[worst.bits]
            limits = (low * worst.scale_high, high * worst.scale_high)
            reach = max(d.reach for d in distributions)
            if limits[1] > 2 * reach:  # an axis that long would show nothing else
                limits = None
        panels.append((worst.layer, distributions, limits))
    return histogram_grid(panels)


def _statistics_sentences(stage: str, entries: Sequence[LayerStatistics]) -> list[str]:
    lines = []
    quantised = _narrow(entries)
    if quantised:
        most = max(quantised, key=lambda entry: entry.saturated or 0)
        least = min(quantised, key=lambda entry: entry.used or 0)
        lines.append(
            f"{stage}: {most.layer} saturates most, {100 * (most.saturated or 0):.2f} % of its "
            f"values; {least.layer} uses least of its range, {100 * (least.used or 0):.1f} %."
        )
    peak = max(entries, key=lambda entry: entry.peak)
    lines.append(f"{stage}: the longest tail has {peak.layer}, {peak.peak:.0f} times its std.")
    silent = [entry for entry in entries if entry.silent_channels]
    if silent:
        count = sum(entry.silent_channels for entry in silent)
        lines.append(f"{stage}: {count} silent channels in {len(silent)} layers' outputs.")
    mute = [entry.layer for entry in silent if entry.silent_channels == entry.channels]
    if mute:
        lines.append(f"{stage}: nothing but zeros come from {', '.join(mute)}.")
    return lines
