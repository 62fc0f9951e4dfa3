"""Plots of the model profiler, as SVG text."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from hat.visualize.curves import COLOURS, INK

# Text stays text: small files, and names of layers that can be searched and read aloud.
RC: Any = {"svg.fonttype": "none", "svg.hashsalt": "profile", "font.family": "sans-serif"}


@dataclass(frozen=True)
class Panel:
    """One strip of a plot over the layers: ``series`` by name, None where there is no value."""

    title: str
    series: Mapping[str, Sequence[float | None]]
    log: bool = False
    bars: bool = False


def layer_plot(layers: Sequence[str], panels: Sequence[Panel]) -> str:
    """Panels below each other over the layers in the order of execution."""
    width = max(8.0, 2.0 + 0.15 * len(layers))
    heights = [2.4] * len(panels)
    labels = 0.6 + 0.062 * max(map(len, layers))
    with matplotlib.rc_context(RC):
        figure = _figure(width, sum(heights) + labels)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, panel in zip(axes, panels, strict=True):
            _strip(axis, panel)
        axes[-1].set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
        axes[-1].set_xlim(-1, len(layers))
        return _svg(figure)


def _strip(axis: Axes, panel: Panel) -> None:
    colours = dict(zip(panel.series, COLOURS, strict=False))
    count = len(panel.series)
    known = False
    for index, (name, values) in enumerate(panel.series.items()):
        numbers = np.array([math.nan if v is None else v for v in values], dtype=float)
        if panel.log:
            numbers[numbers <= 0] = math.nan  # zero has no place on this axis
        known = known or bool(np.isfinite(numbers).any())
        places = np.arange(len(numbers))
        if panel.bars:
            width = 0.8 / count
            offset = (index - (count - 1) / 2) * width
            axis.bar(places + offset, numbers, width, color=colours[name], label=name)
        else:
            axis.plot(
                places, numbers, "o-", color=colours[name], label=name, linewidth=1.2, markersize=3
            )
    if panel.log and known:
        axis.set_yscale("log")
    if not known:
        axis.text(0.5, 0.5, "nothing to show", transform=axis.transAxes, ha="center", color=INK)
        axis.set_yticks([])
    _style(axis, panel.title)
    if count > 1 and known:
        axis.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 0.98),
            ncols=count,
            frameon=False,
            fontsize=8,
            labelcolor=INK,
        )


@dataclass(frozen=True)
class Distribution:
    """Counts in equal bins over -reach .. reach."""

    name: str
    reach: float
    counts: Sequence[int]


def histogram_grid(
    panels: Sequence[tuple[str, Sequence[Distribution], tuple[float, float] | None]],
) -> str:
    """Histograms with a logarithmic axis: (title, distributions, representable range)."""
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(RC):
        figure = _figure(3.4 * columns, 2.3 * rows + 0.3)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (title, distributions, limits) in zip(grid, panels, strict=False):
            for colour, distribution in zip(COLOURS, distributions, strict=False):
                _distribution(axis, distribution, colour)
            for limit in limits or ():
                axis.axvline(limit, color=INK, linewidth=0.9, linestyle="--")
            axis.set_yscale("log")
            _style(axis, title)
        for axis in grid[len(panels) :]:
            axis.set_visible(False)
        names = [d.name for d in max((p[1] for p in panels), key=len)]
        handles = grid[0].get_legend_handles_labels()[0][: len(names)]
        figure.legend(
            handles,
            names,
            loc="outside lower center",
            ncols=len(names),
            frameon=False,
            fontsize=8,
            labelcolor=INK,
        )
        return _svg(figure)


def _distribution(axis: Axes, distribution: Distribution, colour: str) -> None:
    counts = np.asarray(distribution.counts, dtype=float)
    edges = np.linspace(-distribution.reach, distribution.reach, len(counts) + 1)
    filled = np.flatnonzero(counts)
    first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, len(counts) - 1)
    density = counts[first : last + 1] / counts.sum() / (edges[1] - edges[0])
    axis.stairs(density, edges[first : last + 2], color=colour, linewidth=1.1)
    axis.plot([], [], color=colour, label=distribution.name)


def bar_plot(title: str, values: Mapping[str, float], unit: str) -> str:
    """Horizontal bars, the first on top."""
    with matplotlib.rc_context(RC):
        figure = _figure(9, 1.0 + 0.2 * len(values))
        axis = figure.subplots()
        axis.barh(list(values), list(values.values()), color=COLOURS[0], height=0.7)
        axis.set_ylim(len(values) - 0.4, -0.6)
        axis.tick_params(axis="y", labelsize=8)
        axis.set_xlabel(unit, color=INK, fontsize=9)
        _style(axis, title)
        return _svg(figure)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def _style(axis: Axes, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=9, color=INK)
    axis.tick_params(which="both", labelsize=7, colors=INK)
    axis.grid(True, color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
