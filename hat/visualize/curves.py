"""Curves of a training run from its log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hat.data.files import atomic_path
from hat.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#222222"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito: safe for all eyes


def plot_training_curve(records: Iterable[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw :func:`training_curve` into the PNG file ``path``.

    Raises:
        InputError: no record has a step and a value to draw, or the file cannot be written.
    """
    figure = training_curve(records)
    if figure is None:
        raise InputError(
            f"{path}: nothing to draw: no record of the log has 'step' and one of 'EPE', 'loss', "
            "'lr'"
        )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    return Path(path)


def training_curve(records: Iterable[Mapping[str, Any]]) -> Figure | None:
    """Draw end-point error, loss and learning rate against the step; None: there is none of them.

    Args:
        records: ``step`` with any of ``EPE``, ``loss``, ``lr``, and of the same with a prefix
            (``val/EPE``), each in a curve of its own. Values that are not finite leave a gap.
    """
    series = collect(records)
    panels = [
        (title, {name: s for name, s in series.items() if name.split("/")[-1] == key}, log)
        for title, key, log in (
            ("End-point error, px", "EPE", True),
            ("Loss", "loss", True),
            ("Learning rate", "lr", False),
        )
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    heights = [1.0 if title == "Learning rate" else 2.2 for title, _, _ in panels]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.0 + 1.3 * sum(heights)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for (title, curves, log), axis in zip(panels, axes[:, 0], strict=True):
        draw(axis, title, curves, log)
    axes[-1, 0].set_xlabel("Step", color=INK)
    return figure


def collect(records: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """Per name the steps and values of the records that have it, in order of the steps."""
    series: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record.get("step") is None or not _is_number(record["step"]):
            continue
        for name, value in record.items():
            if name != "step" and _is_number(value):
                value = value if value is not None and math.isfinite(value) else math.nan
                series.setdefault(name, []).append((record["step"], value))
    columns = {}
    for name, pairs in series.items():
        pairs.sort(key=lambda pair: pair[0])
        steps, values = zip(*pairs, strict=True)
        columns[name] = (list(steps), list(values))
    return columns


def draw(
    axis: Axes, title: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], log: bool
) -> None:
    """One panel; a single curve needs no key."""
    for colour, (name, (steps, values)) in zip(COLOURS, curves.items(), strict=False):
        marker = "o" if len(steps) < 30 else ""
        axis.plot(steps, values, color=colour, linewidth=1.4, marker=marker, markersize=4)
        known = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
        if known:
            label = f"{name}: last {known[-1][1]:.4g}"
            axis.plot([], [], color=colour, label=label)
    axis.set_title(title, loc="left", fontsize=11, color=INK)
    positive = all(v > 0 for _, values in curves.values() for v in values if math.isfinite(v))
    if log and positive:
        axis.set_yscale("log")
        from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(True, color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)


def _is_number(value: object) -> bool:
    """None as well: in a log it stands for a number that is not finite."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
