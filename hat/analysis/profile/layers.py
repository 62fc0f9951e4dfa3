"""Weights, layers left out and the ranking of the layers as tables, plots and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hat.analysis.profile.finding import BITS, KIND, LAYER, Finding
from hat.visualize.profile_page import Section
from hat.visualize.profile_plots import Panel, bar_plot, layer_plot
from hat.visualize.profile_tables import Column, Table
from horizon.quantization.profiler import LayerWeights, Sensitivity

NAMED = 8
"""Layers that a sentence names."""
RANKED = 30
"""Layers in the plot of the sensitivity."""


def weights(stages: Sequence[str], entries: Sequence[LayerWeights]) -> Finding:
    """Real weights of the first stage against the int8 weights of the second."""
    rows = [asdict(entry) for entry in entries]
    columns = [
        LAYER,
        Column("channels", "channels", "d"),
        Column("cosine", "cosine", ".6f"),
        Column("mse", "MSE", ".2e"),
        Column("sqnr_db", "SQNR, dB", ".2f", none="equal"),
        Column("worst_channel", "worst channel", "d"),
        Column("worst_sqnr_db", "its SQNR, dB", ".2f"),
        Column("spread", "spread of ranges", ".1f"),
        Column("dead", "dead channels", "d"),
    ]
    table = Table(
        f"Weights: {stages[0]} in real numbers against {stages[1]} in int8",
        "Folded with batch normalisation; behind a concatenation, weights of inputs with a small "
        "scale count less. Spread: largest over smallest range of a layer's "
        "channels, what one scale for all channels would lose. Dead channels put out a constant.",
        columns,
        rows,
    )
    panels = [
        Panel(
            "SQNR of the weights, dB",
            {
                "whole layer": [entry.sqnr_db for entry in entries],
                "worst channel": [entry.worst_sqnr_db for entry in entries],
            },
        ),
        Panel("Spread of the channels' ranges", {"": [e.spread for e in entries]}, log=True),
    ]
    lines = []
    known = [entry for entry in entries if entry.sqnr_db is not None]
    if known:
        worst = min(known, key=lambda entry: entry.sqnr_db or 0.0)
        lines.append(f"{worst.layer} has the coarsest weights, SQNR {worst.sqnr_db:.1f} dB.")
    else:
        lines.append("All weights are equal.")
    dead = [entry for entry in entries if entry.dead]
    if dead:
        names = ", ".join(f"{entry.layer} ({entry.dead})" for entry in dead[:NAMED])
        lines.append(f"Dead channels in {len(dead)} layers: {names}.")
    drawing = layer_plot([entry.layer for entry in entries], panels)
    plots = [("SQNR and spread of each layer's weights", drawing)]
    return Finding(Section("weights", "Weights", lines, plots, [table]), rows, _keys(columns), rows)


def unquantised(stage: str, findings: Sequence[Any]) -> Finding:
    """The layers that are left in floating point or unfused: .layer, .kind, .message."""
    rows = [{"layer": f.layer, "kind": f.kind, "message": f.message} for f in findings]
    columns = [LAYER, Column("kind", "what", text=True), Column("message", "why", text=True)]
    table = Table(f"Layers of {stage} left unquantised or unfused", "", columns, rows)
    if rows:
        kinds = sorted({str(row["kind"]) for row in rows})
        counts = (f"{sum(row['kind'] == kind for row in rows)} {kind}" for kind in kinds)
        lines = [f"{stage}: {', '.join(counts)}."]
    else:
        lines = [f"{stage}: every layer is quantised, and fused where it can be."]
    section = Section(
        "unquantised", "Unquantised and unfused layers", lines, tables=[table] if rows else []
    )
    return Finding(section, rows, _keys(columns), rows)


def sensitivity(stage: str, found: Sensitivity, what: str = "flow", unit: str = "px") -> Finding:
    """The ranking of the layers by what each costs alone in int8.

    Args:
        what, unit: of the network's output; an empty unit stands for that of its numbers.
    """
    in_unit, by_unit = (f", {unit}", f" {unit}") if unit else ("", "")
    rows = [asdict(entry) for entry in found.layers]
    whole = found.everything
    known = found.real is not None
    columns = [LAYER, KIND, BITS, Column("moved", f"{what} moved{in_unit} (RMS)", ".4f")]
    if known:
        columns += [Column("error", "EPE, px", ".4f"), Column("added", "EPE added, px", "+.4f")]
    table = Table(
        f"One layer of {stage} at a time in integers, worst first",
        f"All other layers compute in real numbers. {what.capitalize()} moved: root mean square "
        f"difference from the {what} of the network in real numbers."
        + (" EPE added: over that network's; on a few images it can be below 0." if known else ""),
        columns,
        rows,
    )
    drawing = bar_plot(
        f"The {min(RANKED, len(rows))} layers that move the {what} most, each alone in integers",
        {entry.layer: entry.moved for entry in found.layers[:RANKED]},
        f"{what} moved{in_unit} (root mean square)",
    )
    first = found.layers[0]
    lines = [
        f"{first.layer} alone in integers moves the {what} most, by {first.moved:.4f}{by_unit} "
        f"(root mean square); all layers together move it by {whole.moved:.4f}{by_unit}."
    ]
    if known:
        worst = max(found.layers, key=lambda entry: entry.added or 0.0)
        lines.append(
            f"EPE {found.real:.4f} px in real numbers, {whole.error:.4f} px in integers; "
            f"{worst.layer} alone adds most, {worst.added:+.4f} px."
        )
    section = Section(
        "sensitivity", "Sensitivity", lines, [("Cost of the worst layers", drawing)], [table]
    )
    content = {"real": found.real, "all": asdict(whole), "layers": rows}
    keys = ["layer", "kind", "bits", "moved", "error", "added"]
    return Finding(section, content, keys, rows)


def _keys(columns: Sequence[Column]) -> list[str]:
    return [column.key for column in columns]
