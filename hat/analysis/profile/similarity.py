"""The similarity of two stages as table, plot and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hat.analysis.profile.finding import BITS, LAYER, Finding
from hat.visualize.profile_page import Section
from hat.visualize.profile_plots import Panel, layer_plot
from hat.visualize.profile_tables import Column, Table
from horizon.quantization.profiler import LayerSimilarity

CEILING = 100
"""dB. What is above differs by roundings of float32 and would squeeze all else in the plot."""


def similarity(
    stages: Sequence[str],
    cumulative: Sequence[LayerSimilarity],
    alone: Sequence[LayerSimilarity],
) -> Finding:
    """Both comparisons of two stages, side by side."""
    by_layer = {entry.layer: entry for entry in alone}
    measured = ("cosine", "mse", "sqnr_db", "largest_steps", "differing")
    rows: list[dict[str, Any]] = []
    for entry in cumulative:
        row: dict[str, Any] = {key: getattr(entry, key) for key in ("layer", "kind", "bits")}
        for way, found in (("cumulative", entry), ("alone", by_layer.get(entry.layer))):
            row |= {f"{way}_{key}": getattr(found, key, None) for key in measured}
        rows.append(row)
    columns = [LAYER, BITS]
    for way, short in (("cumulative", "cum."), ("alone", "alone")):
        columns += [
            Column(f"{way}_cosine", f"{short} cosine", ".6f"),
            Column(f"{way}_mse", f"{short} MSE", ".2e"),
            Column(f"{way}_sqnr_db", f"{short} SQNR, dB", ".2f", none="equal"),
            Column(f"{way}_largest_steps", f"{short} LSBs", ".2f"),
        ]
        if any(row[f"{way}_differing"] is not None for row in rows):
            columns.append(Column(f"{way}_differing", f"{short} differing", "d"))
    table = Table(
        f"Similarity of {stages[0]} and {stages[1]}, in the order of execution",
        "Cumulative: both models run on the same images, errors add up. Alone: the layer of "
        "the first stage gets the inputs that the layer of the more quantised one got. LSBs: the "
        "largest difference in output steps. Differing: values on another integer.",
        columns,
        rows,
    )
    layers = [row["layer"] for row in rows]

    def series(key: str, ceiling: float = math.inf) -> dict[str, list[float | None]]:
        found = {way: [row[f"{way}_{key}"] for row in rows] for way in ("cumulative", "alone")}
        return {
            way: [None if v is not None and v > ceiling else v for v in values]
            for way, values in found.items()
        }

    panels = [
        Panel(f"SQNR, dB (no mark: equal, or above {CEILING})", series("sqnr_db", CEILING)),
        Panel("Largest difference, LSBs", series("largest_steps"), log=True),
    ]
    plots = [("SQNR and largest difference of each layer", layer_plot(layers, panels))]
    section = Section(
        "similarity", "Similarity", _similarity_sentences(cumulative, alone), plots, [table]
    )
    content = {
        "cumulative": [asdict(entry) for entry in cumulative],
        "alone": [asdict(entry) for entry in alone],
    }
    keys = [f"{way}_{key}" for way in ("cumulative", "alone") for key in measured]
    return Finding(section, content, ["layer", "kind", "bits", *keys], rows)


def _similarity_sentences(
    cumulative: Sequence[LayerSimilarity], alone: Sequence[LayerSimilarity]
) -> list[str]:
    lines = []
    for way, entries in (("Alone", alone), ("Cumulative", cumulative)):
        unequal = [entry for entry in entries if entry.sqnr_db is not None]
        if not unequal:
            lines.append(f"{way}: all {len(entries)} layers give equal values.")
            continue
        worst = min(unequal, key=lambda entry: entry.sqnr_db or 0.0)
        lines.append(
            f"{way}: {worst.layer} differs most, SQNR {worst.sqnr_db:.1f} dB, cosine "
            f"{worst.cosine:.5f}."
        )
    counted = [entry for entry in cumulative if entry.differing is not None]
    if counted:
        differing = sum(entry.differing or 0 for entry in counted)
        total = sum(entry.values for entry in counted)
        first = next((f", first in {e.layer}" for e in counted if e.differing), "")
        lines.insert(0, f"{differing} of {total} integers differ from end to end{first}.")
    return lines
